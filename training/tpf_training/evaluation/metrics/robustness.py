"""Robustness: the share of frames in which the tracker keeps its target."""

import numpy as np

KEPT = 0.3  # IoU above which the target is kept


def share_kept(overlaps: np.ndarray) -> float:
    """Share of frames with IoU > 0.3; overlaps: (N,), N >= 1."""
    return float((overlaps > KEPT).mean())
