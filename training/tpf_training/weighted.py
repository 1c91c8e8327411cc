"""Draws by weight."""

import numpy as np


def pick(rng: np.random.Generator, weights: dict):
    """One key of `weights`, each as likely as its weight is large."""
    values = np.array(list(weights.values()))
    return list(weights)[rng.choice(len(values), p=values / values.sum())]
