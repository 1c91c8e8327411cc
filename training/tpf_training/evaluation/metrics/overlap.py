"""Overlap of boxes: intersection over union."""

import numpy as np


def overlaps(boxes: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """(N,) IoU in 0..1 of boxes and truth, both (N, 4) x, y, w, h in pixels; 0 where neither has an area.

    The benchmarks' toolkits count whole pixels (right = x + w - 1, overlap = right - left + 1): the same number.
    """
    low = np.maximum(boxes[:, :2], truth[:, :2])
    high = np.minimum(boxes[:, :2] + boxes[:, 2:], truth[:, :2] + truth[:, 2:])
    inside = np.prod(np.maximum(high - low, 0), axis=1)
    union = np.prod(boxes[:, 2:], axis=1) + np.prod(truth[:, 2:], axis=1) - inside
    return np.divide(inside, union, out=np.zeros_like(inside), where=union > 0)
