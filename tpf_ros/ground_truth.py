"""Ground truth boxes, `frame,x,y,w,h,visible`, and how well tracked boxes overlap them."""

import os
from dataclasses import dataclass

from tpf_model.boxes import Box, iou
from tpf_ros.boxes_csv import BoxRow, read_lines

HEADER = "frame,x,y,w,h,visible"


@dataclass(frozen=True)
class Overlap:
    """Over `frames` frames in which the target is visible: mean IoU, and the share of them with IoU > 0.5."""

    frames: int
    mean_iou: float
    success: float


def read_ground_truth(path: str | os.PathLike) -> dict[int, Box]:
    """Boxes by frame index, of the frames in which the target is visible. ValueError names the file and the line."""
    return {frame: box for frame, box, visible in read_lines(path, HEADER, _parse) if visible}


def _parse(fields: list[str]) -> tuple[int, Box, bool]:
    frame, *box, visible = fields
    return int(frame), tuple(map(float, box)), bool(int(visible))


def compare(rows: list[BoxRow], truth: dict[int, Box]) -> Overlap | None:
    """Overlap over the frames after the first row, whose box was given; None where none of them has a true box.

    Further rows of one frame are thermal images without a visible one, for which there is no true box.
    """
    boxes = {row.frame: row.box for row in reversed(rows)}
    overlaps = [iou(box, truth[frame]) for frame, box in boxes.items() if frame in truth and frame != rows[0].frame]
    if not overlaps:
        return None
    success = sum(value > 0.5 for value in overlaps) / len(overlaps)
    return Overlap(len(overlaps), sum(overlaps) / len(overlaps), success)
