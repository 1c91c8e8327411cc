"""Boxes cut at the image's edges."""

import numpy as np

INSIDE = 0.6  # a box with less of its area in the image is a target that has left it


def clip_boxes(boxes: np.ndarray, size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Boxes cut at the image's edges, and the part of each one's area that was inside; 0 for boxes without an area."""
    corners = np.concatenate([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], axis=1)
    corners = np.clip(corners, 0, np.tile(size, 2))
    clipped = np.concatenate([corners[:, :2], corners[:, 2:] - corners[:, :2]], axis=1).astype(np.float32)
    area = np.maximum(boxes[:, 2] * boxes[:, 3], 1e-6)
    return clipped, clipped[:, 2] * clipped[:, 3] / area
