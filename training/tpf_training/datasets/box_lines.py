"""Box files of the benchmarks: a line a frame with four numbers."""

from pathlib import Path

import numpy as np

from tpf_training.datasets.number_lines import read_number_lines


def read_box_lines(path: Path, corners: bool = False) -> np.ndarray:
    """(N, 4) float32 x, y, w, h in pixels; 0 0 0 0 where the target is absent, which the files say by a size that is
    not positive, or by NaN.

    corners: the file holds two opposite corners, x1 y1 x2 y2. DatasetError names file and line.
    """
    boxes = read_number_lines(path, (4,), nan=True).astype(np.float32)
    if corners:
        first, second = boxes[:, :2], boxes[:, 2:]
        boxes = np.concatenate([np.minimum(first, second), np.abs(second - first)], axis=1)
    present = np.isfinite(boxes).all(axis=1) & (boxes[:, 2:] > 0).all(axis=1)
    return np.where(present[:, None], boxes, np.float32(0))
