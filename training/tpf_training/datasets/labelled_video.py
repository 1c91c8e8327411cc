"""A video (or an aligned pair of videos) with a box file, reduced to what training samples."""

from pathlib import Path

import numpy as np

from tpf_training.datasets.box_file import read_boxes
from tpf_training.datasets.clip_boxes import INSIDE, clip_boxes
from tpf_training.datasets.frame_store import Wanted, load_frames, probe
from tpf_training.datasets.record import Clip, DatasetError

# Crops show the target at 64 px (search 256 / 4, template 128 / 2): more than this many pixels of it are never needed.
TARGET_PIXELS = 96


def read_labelled_video(
    name: str,
    box_file: Path,
    visible: Path | None = None,
    thermal: Path | None = None,
    stride: int = 1,
    region_factor: float | None = None,
    cache: Path | None = None,
) -> Clip:
    """Every `stride`-th labelled frame with the target in it, shrunk where the target is large.

    region_factor: keep only a rectangle of this many target sizes sqrt(w h) around the target (moved into the image),
    for small targets in large empty images; None keeps whole frames.
    """
    frames, boxes, present = (values[::stride] for values in read_boxes(box_file))
    size = common_size([video for video in (visible, thermal) if video is not None], box_file, frames[-1])
    boxes, inside = clip_boxes(boxes, size)
    present &= inside >= INSIDE
    if not present.any():
        raise DatasetError(f"{box_file}: the target is never visible in the {size[0]}x{size[1]} image")
    frames, boxes = frames[present], boxes[present]
    target = float(np.median(np.sqrt(boxes[:, 2] * boxes[:, 3])))
    scale = min(1.0, TARGET_PIXELS / target)
    corners = region = None
    if region_factor:
        corners, region = _regions(boxes, region_factor, size)
        boxes[:, :2] -= corners
    images = [
        None if video is None else load_frames(video, Wanted(frames, grey, scale, corners, region), cache)
        for video, grey in ((visible, False), (thermal, True))
    ]
    return Clip(name, *images, boxes * np.float32(scale), frames)


def common_size(videos: list[Path], box_file: Path, last_frame: int) -> tuple[int, int]:
    """The (width, height) of all `videos`, which must be the same and reach the last frame that has a box."""
    sizes = {}
    for video in videos:
        count, sizes[video] = probe(video)
        if count <= last_frame:
            raise DatasetError(f"{box_file}: has a box for frame {last_frame}, {video} has {count} frames")
    if len(set(sizes.values())) > 1:
        raise DatasetError("sizes differ: " + ", ".join(f"{video} is {w}x{h}" for video, (w, h) in sizes.items()))
    return sizes.popitem()[1]


def _regions(boxes: np.ndarray, factor: float, size: tuple[int, int]) -> tuple[np.ndarray, tuple[int, int]]:
    """Top-left corners (N, 2) int and one (width, height) of rectangles around the boxes, moved inside the image."""
    largest = np.percentile(np.sqrt(boxes[:, 2] * boxes[:, 3]), 75)
    region = tuple(int(min(limit, max(64, factor * largest))) for limit in size)
    corners = boxes[:, :2] + boxes[:, 2:] / 2 - np.array(region) / 2
    return np.clip(corners, 0, np.array(size) - np.array(region)).astype(int), region
