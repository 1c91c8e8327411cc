"""The published RGB-T tracking benchmarks: a folder a sequence, in it two folders of frames and text files of boxes."""

from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from tpf_training.datasets.box_lines import read_box_lines
from tpf_training.datasets.find_sequences import find_sequences
from tpf_training.datasets.frame_clip import clip_of_frames
from tpf_training.datasets.image_folder import list_pairs
from tpf_training.datasets.index import SequenceFiles, index_file, read_indexed
from tpf_training.datasets.record import Clip, DatasetError


@dataclass(frozen=True)
class Layout:
    """The names in a sequence's folder, and how its boxes are written.

    visible, thermal: folders of frames. boxes, thermal_boxes: files; None: there are none for the thermal images.
    thermal_boxes_may_lack: copies without that file are about, which say what they need to in `boxes`.
    corners: x1 y1 x2 y2 instead of x y w h. every: one box every so many frames, beginning with the first.
    """

    visible: str
    thermal: str
    boxes: str
    thermal_boxes: str | None = None
    thermal_boxes_may_lack: bool = False
    corners: bool = False
    every: int = 1


def read_benchmark(
    name: str,
    layout: Layout,
    root: Path,
    split: Path | str | None = None,
    cache: Path | None = None,
    skipped: list[DatasetError] | None = None,
) -> list[Clip]:
    """The sequences of `root` that `split` takes (see `find_sequences`), their frames still in their files.

    cache: folder for the index. skipped: None makes a damaged sequence an error; a list takes the errors instead.
    """
    root = Path(root)
    sequences = [
        _files(layout, sequence, folder)
        for sequence, folder in find_sequences(root, (layout.visible, layout.thermal), split, skipped)
    ]
    file = index_file(cache, name, root, split) if cache else None
    clips = read_indexed(sequences, partial(_read, layout), file, skipped)
    if not clips:
        raise DatasetError(f"{root}: every sequence is damaged, the first: {skipped[0]}")
    return clips


def _files(layout: Layout, name: str, folder: Path) -> SequenceFiles:
    thermal_boxes = folder / layout.thermal_boxes if layout.thermal_boxes else None
    if layout.thermal_boxes_may_lack and not thermal_boxes.is_file():
        thermal_boxes = None
    return SequenceFiles(name, folder / layout.visible, folder / layout.thermal, folder / layout.boxes, thermal_boxes)


def _read(layout: Layout, files: SequenceFiles) -> Clip:
    listings = list_pairs(files.visible, files.thermal)
    count = len(listings[0][1])
    boxes = _read_boxes(layout, files.boxes, files.visible, count)
    thermal_boxes = None
    if files.thermal_boxes is not None:
        thermal_boxes = _read_boxes(layout, files.thermal_boxes, files.thermal, count)
    frames = np.arange(len(boxes)) * layout.every
    return clip_of_frames(files.name, *listings, frames, boxes, thermal_boxes)


def _read_boxes(layout: Layout, file: Path, folder: Path, count: int) -> np.ndarray:
    boxes = read_box_lines(file, layout.corners)
    check_count(layout, file, len(boxes), folder, count)
    return boxes


def check_count(layout: Layout, file: Path, boxes: int, folder: Path, count: int) -> None:
    """DatasetError where `file` has not as many `boxes` as it should have for the `count` frames in `folder`."""
    needed = -(-count // layout.every)
    if boxes != needed:
        rate = "each" if layout.every == 1 else f"every {layout.every}th from the first"
        raise DatasetError(f"{file}: has {boxes} boxes, {folder} has {count} frames: one for {rate} is {needed}")
