"""EN: how much the grey levels of an image tell."""

import numpy as np

LEVELS = 256


def entropy(image: np.ndarray) -> float:
    """-sum p log2 p over the histogram of the 256 grey levels of (H, W) uint8, bits 0..8 (Shannon, 1948)."""
    return entropy_of(np.bincount(image.ravel(), minlength=LEVELS))


def entropy_of(counts: np.ndarray) -> float:
    """The entropy, in bits, of what was counted so many times."""
    shares = counts[counts > 0] / counts.sum()
    return float(-(shares * np.log2(shares)).sum())
