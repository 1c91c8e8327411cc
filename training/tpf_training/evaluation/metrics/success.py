"""Success: the share of frames whose overlap exceeds a threshold (Wu et al., OTB, 2013)."""

import numpy as np

THRESHOLDS = np.linspace(0, 1, 21)


def success_curve(overlaps: np.ndarray) -> np.ndarray:
    """(21,) share of frames with IoU > t for each t of THRESHOLDS; overlaps: (N,), N >= 1."""
    return (overlaps[:, None] > THRESHOLDS).mean(axis=0)


def success_rate(overlaps: np.ndarray) -> float:
    """SR, the mean of the success curve. As no IoU exceeds 1, the last threshold, the best there is is 20 / 21."""
    return float(success_curve(overlaps).mean())
