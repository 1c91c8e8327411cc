"""Text files of numbers, a line a frame, between commas, tabs or spaces; a line may end in a comma."""

import re
from itertools import chain
from pathlib import Path

import numpy as np

from tpf_training.datasets.record import DatasetError

_MISSING = re.compile(r"(^|,)[ \t]*,", re.MULTILINE)  # no number before a comma


def read_number_lines(path: Path, widths: tuple[int, ...], nan: bool = False) -> np.ndarray:
    """(N, W) float64, the numbers as they are written; W, the same in all lines, is one of `widths`.

    nan: whether NaN may stand among them. DatasetError names the file and the line that holds something else.
    """
    try:
        text = path.read_text(encoding="utf-8-sig").rstrip()
    except (OSError, UnicodeDecodeError) as error:
        raise DatasetError(f"{path}: cannot be read: {getattr(error, 'strerror', None) or error}") from error
    lines = text.splitlines()
    rows = [line.replace(",", " ").split() for line in lines]
    if not rows:
        raise DatasetError(f"{path}: is empty")
    width = len(rows[0]) if len(rows[0]) in widths else widths[0]
    try:
        if set(map(len, rows)) != {width} or _MISSING.search(text):
            raise ValueError
        numbers = np.fromiter(map(float, chain.from_iterable(rows)), np.float64, len(rows) * width)
    except ValueError:
        raise _error(path, lines, rows, widths, width) from None
    numbers = numbers.reshape(-1, width)
    bad = np.isinf(numbers) if nan else ~np.isfinite(numbers)
    if bad.any():
        line = int(bad.any(axis=1).argmax())
        raise DatasetError(f"{path}: line {line + 1} is {lines[line]!r}, which is not finite")
    return numbers


def _error(path: Path, lines: list[str], rows: list[list[str]], widths: tuple[int, ...], width: int) -> DatasetError:
    pairs = enumerate(zip(lines, rows))
    line = next(i for i, (text, row) in pairs if len(row) != width or _MISSING.search(text) or not _are_numbers(row))
    expected = " or ".join(map(str, widths))
    return DatasetError(f"{path}: line {line + 1} is {lines[line]!r}, needs {expected} numbers in every line")


def _are_numbers(row: list[str]) -> bool:
    try:
        return bool([float(value) for value in row])
    except ValueError:
        return False
