"""Box files: `frame,x,y,w,h,visible`, 0-based frames, pixels, top-left origin; visible 0 = absent."""

import csv
from pathlib import Path

import numpy as np

from tpf_training.datasets.record import DatasetError

COLUMNS = ["frame", "x", "y", "w", "h", "visible"]


def read_boxes(path: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Read a box file: frames (N,) int, boxes (N, 4) float32, visible (N,) bool. DatasetError names file and line."""
    try:
        with open(path, newline="", encoding="utf-8-sig") as file:  # as spreadsheets save it
            rows = list(csv.reader(file))
    except (OSError, UnicodeDecodeError) as error:
        raise DatasetError(f"{path}: cannot read boxes: {error}") from error
    if not rows or rows[0] != COLUMNS:
        raise DatasetError(f"{path}: line 1 must be {','.join(COLUMNS)}")
    values = np.array([_numbers(path, line, row) for line, row in enumerate(rows[1:], start=2)]).reshape(-1, 6)
    frames, boxes = values[:, 0].astype(int), values[:, 1:5].astype(np.float32)
    if len(frames) == 0 or frames[0] < 0 or np.any(np.diff(frames) <= 0):
        raise DatasetError(f"{path}: needs at least one box, with rising frame numbers from 0")
    return frames, boxes, (values[:, 5] > 0) & np.all(boxes[:, 2:] > 0, axis=1)


def _numbers(path: Path, line: int, row: list[str]) -> list[float]:
    try:
        numbers = [float(value) for value in row]
    except ValueError:
        numbers = []
    if len(numbers) != 6 or not np.all(np.isfinite(numbers)):
        raise DatasetError(f"{path}: line {line} is {','.join(row)!r}, needs 6 numbers {','.join(COLUMNS)}")
    return numbers
