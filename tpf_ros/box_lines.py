"""Box files of the RGB-T tracking benchmarks: a line a frame with four numbers, between commas, tabs or spaces."""

import math
import re
from pathlib import Path

from tpf_ros.ground_truth import TrueBox

_SEPARATOR = re.compile(r"\s*[,\s]\s*")


def read_box_lines(path: Path, corners: bool = False, every: int = 1) -> list[TrueBox]:
    """The boxes of frames 0, `every`, 2 `every`, ...; ValueError names the file and the line.

    corners: two opposite corners, x1 y1 x2 y2, instead of x y w h. A size that is not positive, or NaN, says that the
    target is absent.
    """
    try:
        lines = path.read_text().rstrip().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} cannot be read: {error}") from error
    if not lines:
        raise ValueError(f"{path} holds no boxes")
    return [_true_box(path, number, line, corners, every) for number, line in enumerate(lines)]


def _true_box(path: Path, number: int, line: str, corners: bool, every: int) -> TrueBox:
    try:
        a, b, c, d = (float(value) for value in _SEPARATOR.split(line.strip()))
        if any(map(math.isinf, (a, b, c, d))):
            raise ValueError
    except ValueError:
        raise ValueError(f"{path}, line {number + 1}: {line!r} is not four numbers") from None
    box = (min(a, c), min(b, d), abs(c - a), abs(d - b)) if corners else (a, b, c, d)
    if any(map(math.isnan, box)):
        box = (0.0, 0.0, 0.0, 0.0)
    return TrueBox(number * every, box, box[2] > 0 and box[3] > 0)
