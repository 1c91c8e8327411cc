"""Draws by weight."""

import numpy as np


def pick(rng: np.random.Generator, weights: dict):
    """One key of `weights`, each as likely as its weight is large; at least one must be above 0."""
    # Plain arithmetic: `rng.choice` takes 20 times as long for the few keys that there are.
    left = rng.random() * sum(weights.values())
    for key, weight in weights.items():
        left -= weight
        if left < 0:
            return key
    return max(weights, key=weights.get)  # rounding can leave a hair's breadth
