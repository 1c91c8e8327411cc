"""Box files of the benchmarks: a line a frame with four numbers and nothing else, between commas, tabs or spaces."""

import re
from pathlib import Path

import numpy as np

from tpf_training.datasets.record import DatasetError

_SEPARATOR = re.compile(r"\s*[,\s]\s*")


def read_box_lines(path: Path, corners: bool = False) -> np.ndarray:
    """(N, 4) float32 x, y, w, h in pixels; 0 0 0 0 where the target is absent, which the files say by a size that is
    not positive, or by NaN.

    corners: the file holds two opposite corners, x1 y1 x2 y2. DatasetError names file and line.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").rstrip().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DatasetError(f"{path}: cannot read boxes: {error}") from error
    if not lines:
        raise DatasetError(f"{path}: holds no boxes")
    boxes = np.array([_numbers(path, number, line) for number, line in enumerate(lines, start=1)], dtype=np.float32)
    if corners:
        first, second = boxes[:, :2], boxes[:, 2:]
        boxes = np.concatenate([np.minimum(first, second), np.abs(second - first)], axis=1)
    present = np.isfinite(boxes).all(axis=1) & (boxes[:, 2:] > 0).all(axis=1)
    return np.where(present[:, None], boxes, np.float32(0))


def _numbers(path: Path, number: int, line: str) -> list[float]:
    try:
        values = [float(value) for value in _SEPARATOR.split(line.strip())]
    except ValueError:
        values = []
    if len(values) != 4 or np.isinf(values).any():
        raise DatasetError(f"{path}: line {number} is {line!r}, needs 4 numbers")
    return values
