"""A rosbag's pairs of images as a sequence in a folder: `visible/`, `thermal/`, `stamps.csv`, `boxes.csv`.

An image that is a JPEG or PNG file in its message already is written as that file; all others become PNG, floats TIFF:
both without loss.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import cv2
import numpy as np

from tpf_model.crop import warp
from tpf_model.registration import Registration
from tpf_ros.bag_boxes import find_boxes_topic, read_bag_boxes
from tpf_ros.ground_truth import write_true_boxes
from tpf_ros.pair_stamps import pair_stamps
from tpf_ros.sequence import STAMPS, STAMPS_HEADER, read_sequence_boxes
from tpf_ros.sources.bag import BagSource
from tpf_ros.sources.source import Item, SourceError

_FAST_PNG = [cv2.IMWRITE_PNG_COMPRESSION, 1]  # a tenth larger than the default, several times as fast
_SUFFIXES = {b"\xff\xd8": ".jpg", b"\x89PNG": ".png"}


@dataclass(frozen=True)
class Written:
    """How many pairs and boxes there are in the folder, and how many images of each camera had no partner."""

    pairs: int
    boxes: int
    visible_left: int
    thermal_left: int


def write_folder(
    out: Path,
    bag: Path,
    visible_topic: str | None = None,
    thermal_topic: str | None = None,
    boxes_topic: str | None = None,
    boxes_file: Path | None = None,
    max_difference: float = 0.02,
    thermal_offset: float = 0.0,
    registration: Registration | None = None,
) -> Written:
    """Write the bag's images that have a partner to the new folder `out`.

    Topics: None as in `BagSource` and `find_boxes_topic`. Each visible image goes with the thermal one that is nearest
    to it by stamp after `thermal_offset` s, at most `max_difference` s away. boxes_file: a box file for all visible
    images, instead of the topic. registration: from thermal to visible pixels; thermal images are then resampled to lie
    on the visible ones. None keeps them as they are.

    SourceError names bag, topic and message at fault.
    """
    visible, thermal = BagSource(bag, visible_topic, "visible"), BagSource(bag, thermal_topic, "thermal")
    if visible.name == thermal.name:
        raise SourceError(f"the visible and the thermal topic are both {visible.name}")
    stamps = visible.rising_stamps(), thermal.rising_stamps()
    pairs = _pairs(visible, thermal, stamps, round(max_difference * 1e9), round(thermal_offset * 1e9))
    chosen = stamps[0][pairs[:, 0]], stamps[1][pairs[:, 1]]
    every = []  # of all visible images, so that one without a partner keeps its box to itself
    if boxes_file is not None:
        every = read_sequence_boxes(boxes_file, visible.count)
    elif topic := find_boxes_topic(bag, boxes_topic):
        every = read_bag_boxes(bag, topic, stamps[0], round(max_difference * 1e9))
    numbers = {int(message): number for number, message in enumerate(pairs[:, 0])}
    boxes = [replace(true, frame=numbers[true.frame]) for true in every if true.frame in numbers]
    out.mkdir(parents=True)
    size = _write_images(visible, pairs[:, 0], out / "visible")
    align = None if registration is None else partial(_align, registration=registration, size=size)
    _write_images(thermal, pairs[:, 1], out / "thermal", align)
    lines = (f"{frame},{first},{second}" for frame, (first, second) in enumerate(zip(*chosen)))
    (out / STAMPS).write_text("\n".join([STAMPS_HEADER, *lines]) + "\n")
    if boxes:
        write_true_boxes(out / "boxes.csv", boxes)
    return Written(len(pairs), len(boxes), visible.count - len(pairs), thermal.count - len(pairs))


def _pairs(
    visible: BagSource, thermal: BagSource, stamps: tuple[np.ndarray, np.ndarray], limit: int, offset: int
) -> np.ndarray:
    """(P, 2) indices; SourceError for stamps that are nowhere near each other."""
    pairs = pair_stamps(stamps[0], stamps[1] + offset, limit)
    if not len(pairs):
        closest = pair_stamps(stamps[0], stamps[1] + offset, np.iinfo(np.int64).max)
        gap = np.abs(stamps[0][closest[:, 0]] - stamps[1][closest[:, 1]] - offset).min() / 1e9
        raise SourceError(
            f"{visible.name} and {thermal.name}: no stamps within {limit / 1e9:g} s, the nearest are {gap:g} s apart"
        )
    return pairs


def _write_images(
    source: BagSource, wanted: np.ndarray, folder: Path, align: Callable[[np.ndarray], np.ndarray] | None = None
) -> tuple[int, int]:
    """Message `wanted[k]` as frame k, aligned if that is given; returns the messages' (width, height)."""
    folder.mkdir()
    numbers, size = {int(message): number for number, message in enumerate(wanted)}, None
    for index, item in enumerate(source):
        if index not in numbers:
            continue
        image = item.load()
        size = size or image.shape[1::-1]
        if image.shape[1::-1] != size:
            w, h = image.shape[1::-1]
            raise SourceError(f"{item.name} is {w}x{h}, the first is {size[0]}x{size[1]}")
        data, suffix = _file(item, image) if align is None else _encode(align(image))
        (folder / f"{numbers[index]:06}{suffix}").write_bytes(data)
    return size


def _file(item: Item, image: np.ndarray) -> tuple[bytes, str]:
    """An image file's bytes, the message's own where it holds such a file, and the suffix for its name."""
    data = item.encoded() if item.encoded is not None else b""
    for start, suffix in _SUFFIXES.items():
        if data.startswith(start):
            return data, suffix
    return _encode(image)


def _encode(image: np.ndarray) -> tuple[bytes, str]:
    suffix = ".tiff" if image.dtype == np.float32 else ".png"
    bgr = image[..., ::-1] if image.ndim == 3 else image
    return cv2.imencode(suffix, bgr, _FAST_PNG if suffix == ".png" else [])[1].tobytes(), suffix


def _align(thermal: np.ndarray, registration: Registration, size: tuple[int, int]) -> np.ndarray:
    """The thermal image at (width, height) `size`, each pixel where it is in the visible image."""
    matrix = registration.matrix(thermal.shape[1::-1], size)
    if thermal.shape[1::-1] == size and np.array_equal(matrix, np.eye(3)):
        return thermal
    # A pixel more on each side, so that what is beyond it, zeros, is not blended into the counts at the border.
    wider = cv2.copyMakeBorder(thermal, 1, 1, 1, 1, cv2.BORDER_REPLICATE)
    shift = np.array([[1, 0, 1], [0, 1, 1], [0, 0, 1]])
    return warp(wider, shift @ np.linalg.inv(matrix), size)
