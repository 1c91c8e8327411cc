"""Ground truth boxes, `frame,x,y,w,h,visible`, and how well tracked boxes overlap them."""

import math
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from tpf_model.boxes import Box, iou
from tpf_ros.boxes_csv import BoxRow, read_lines

HEADER = "frame,x,y,w,h,visible"


@dataclass(frozen=True)
class Overlap:
    """Over `frames` frames in which the target is visible: mean IoU, and the share of them with IoU > 0.5."""

    frames: int
    mean_iou: float
    success: float


@dataclass(frozen=True)
class TrueBox:
    """One line: where the target is in frame `frame`, pixels; not `visible` is absent, the box 0, 0, 0, 0 then."""

    frame: int
    box: Box
    visible: bool


def read_true_boxes(path: str | os.PathLike) -> list[TrueBox]:
    """All lines of a box file. ValueError names the file and the line."""
    return read_lines(path, HEADER, _parse)


def read_ground_truth(path: str | os.PathLike) -> dict[int, Box]:
    """As `visible_boxes` of a box file."""
    return visible_boxes(read_true_boxes(path))


def visible_boxes(boxes: Iterable[TrueBox]) -> dict[int, Box]:
    """Boxes by frame index, of the frames in which the target is visible."""
    return {true.frame: true.box for true in boxes if true.visible}


def write_true_boxes(path: Path, boxes: Iterable[TrueBox]) -> None:
    """Write a box file, from which the same floats are read."""
    lines = [",".join([str(true.frame), *map(_shortest, true.box), str(int(true.visible))]) for true in boxes]
    path.write_text("\n".join([HEADER, *lines]) + "\n")


def _shortest(value: float) -> str:
    return repr(float(value)).removesuffix(".0")


def _parse(fields: list[str]) -> TrueBox:
    frame, *box, visible = fields
    numbers = tuple(map(float, box))
    if not all(map(math.isfinite, numbers)):
        raise ValueError("a number is not finite")
    return TrueBox(int(frame), numbers, bool(int(visible)))


def compare(rows: list[BoxRow], truth: dict[int, Box]) -> Overlap | None:
    """Overlap over the frames of `overlaps_of`; None where there are none."""
    overlaps = overlaps_of(rows, truth)
    if not overlaps:
        return None
    success = sum(value > 0.5 for value in overlaps) / len(overlaps)
    return Overlap(len(overlaps), sum(overlaps) / len(overlaps), success)


def overlaps_of(rows: list[BoxRow], truth: dict[int, Box]) -> list[float]:
    """IoU in each frame that has a true box, after the first row, whose box was given.

    Further rows of one frame are thermal images without a visible one, for which there is no true box.
    """
    boxes = {row.frame: row.box for row in reversed(rows)}
    return [iou(box, truth[frame]) for frame, box in boxes.items() if frame in truth and frame != rows[0].frame]
