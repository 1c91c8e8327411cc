"""MI: how much an image's grey levels tell about another's."""

import numpy as np

from tpf_training.evaluation.fusion_metrics.entropy import LEVELS, entropy, entropy_of


def mutual_information(a: np.ndarray, b: np.ndarray) -> float:
    """H(a) + H(b) - H(a, b) of two (H, W) uint8 by their joint histogram of 256 x 256 levels, bits 0..8."""
    together = np.bincount(a.ravel() * np.uint16(LEVELS) + b.ravel(), minlength=LEVELS**2)
    return entropy(a) + entropy(b) - entropy_of(together)
