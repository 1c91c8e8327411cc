"""Robustness: the share of frames in which the tracker keeps its target."""

import numpy as np

KEPT = 0.3  # IoU above which the target is kept


def share_kept(overlaps: np.ndarray) -> float:
    """Share of frames with IoU > 0.3; overlaps: (N,), N >= 1."""
    return float((overlaps > KEPT).mean())


def spans_lost(kept: np.ndarray, present: np.ndarray) -> list[tuple[int, int]]:
    """First and last frame of each stretch in which the target is there and not kept; both (N,) bool.

    Frames in which the target is absent end no stretch, and neither begin nor close one.
    """
    frames = np.flatnonzero(present)
    edges = np.diff(np.concatenate([[0], ~kept[frames], [0]]).astype(int))
    return [(int(frames[a]), int(frames[b - 1])) for a, b in zip(np.flatnonzero(edges == 1), np.flatnonzero(edges == -1))]
