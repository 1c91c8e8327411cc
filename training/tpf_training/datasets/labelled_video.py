"""A video (or an aligned pair of videos) with a box file, reduced to what training samples."""

from pathlib import Path

import numpy as np

from tpf_training.datasets.box_file import read_boxes
from tpf_training.datasets.frame_store import Wanted, count_frames, frame_size, load_frames
from tpf_training.datasets.record import Clip, DatasetError

# Crops show the target at 64 px (search 256 / 4, template 128 / 2): more than this many pixels of it are never needed.
TARGET_PIXELS = 96
INSIDE = 0.6  # a box with less of its area in the image is a target that has left it


def read_labelled_video(
    name: str,
    box_file: Path,
    visible: Path | None = None,
    thermal: Path | None = None,
    stride: int = 1,
    region_factor: float | None = None,
    cache: Path | None = None,
) -> Clip:
    """Every `stride`-th labelled frame with a visible target, shrunk where the target is large.

    region_factor: keep only a square of this many target sizes sqrt(w h) around the target (moved into the image), for
    small targets in large empty images; None keeps whole frames.
    """
    frames, boxes, valid = (values[::stride] for values in read_boxes(box_file))
    videos = [video for video in (visible, thermal) if video is not None]
    for video in videos:
        if count_frames(video) <= frames[-1]:
            raise DatasetError(f"{box_file}: has a box for frame {frames[-1]}, {video} has {count_frames(video)} frames")
    sizes = {frame_size(video) for video in videos}
    if len(sizes) > 1:
        raise DatasetError(f"{name}: visible and thermal differ in size: {sorted(sizes)}")
    size = sizes.pop()
    boxes, inside = _clip(boxes, size)
    valid = valid & (inside >= INSIDE)
    if not valid.any():
        raise DatasetError(f"{box_file}: the target is never visible in the {size[0]}x{size[1]} image")
    frames, boxes, valid = frames[valid], boxes[valid], valid[valid]
    target = float(np.median(np.sqrt(boxes[:, 2] * boxes[:, 3])))
    scale = min(1.0, TARGET_PIXELS / target)
    corners = region = None
    if region_factor:
        corners, region = _regions(boxes, region_factor, size)
        boxes = boxes - np.pad(corners, ((0, 0), (0, 2)))
    load = [
        None if video is None else load_frames(video, Wanted(frames, grey, scale, corners, region), cache)
        for video, grey in ((visible, False), (thermal, True))
    ]
    return Clip(name, *load, (boxes * scale).astype(np.float32), valid, frames)


def _clip(boxes: np.ndarray, size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Boxes cut at the image's edges, and the part of each one's area that was inside; absent ones (area 0) stay as they are."""
    corners = np.concatenate([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], axis=1)
    corners = np.clip(corners, 0, np.tile(size, 2))
    clipped = np.concatenate([corners[:, :2], corners[:, 2:] - corners[:, :2]], axis=1).astype(np.float32)
    area = np.maximum(boxes[:, 2] * boxes[:, 3], 1e-6)
    return clipped, clipped[:, 2] * clipped[:, 3] / area


def _regions(boxes: np.ndarray, factor: float, size: tuple[int, int]) -> tuple[np.ndarray, tuple[int, int]]:
    """Equal squares around the boxes, moved (and if need be cut) to lie inside the image of `size`."""
    largest = np.percentile(np.sqrt(boxes[:, 2] * boxes[:, 3]), 75)
    region = tuple(int(min(limit, max(64, factor * largest))) for limit in size)
    corners = boxes[:, :2] + boxes[:, 2:] / 2 - np.array(region) / 2
    return np.clip(corners, 0, np.array(size) - np.array(region)).astype(int), region
