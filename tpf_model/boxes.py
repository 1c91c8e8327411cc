"""Boxes: `(x, y, w, h)` in pixels, top-left origin, continuous coordinates (pixel i covers [i, i + 1))."""

import math

import numpy as np
from numpy.typing import NDArray

Box = tuple[float, float, float, float]


def validate_box(box, size: tuple[int, int]) -> Box:
    """Return `box` as four floats, or raise ValueError saying what is wrong with it.

    `size` is the image's (width, height) in pixels. A box is accepted when its numbers are finite, its width and height
    are positive, and at least one pixel of it lies inside the image.
    """
    if len(box) != 4:
        raise ValueError(f"box needs 4 numbers x, y, w, h, got {len(box)}")
    x, y, w, h = (float(value) for value in box)
    if not all(map(math.isfinite, (x, y, w, h))):
        raise ValueError(f"box {(x, y, w, h)} is not finite")
    if w <= 0 or h <= 0:
        raise ValueError(f"box has zero area: width {w:g}, height {h:g} px; both must be > 0")
    width, height = size
    overlap_w = min(x + w, width) - max(x, 0)
    overlap_h = min(y + h, height) - max(y, 0)
    if overlap_w < min(1, w) or overlap_h < min(1, h):
        raise ValueError(f"box x={x:g} y={y:g} w={w:g} h={h:g} lies outside the {width}x{height} image")
    return x, y, w, h


def clip_box(box: Box, size: tuple[int, int], margin: float) -> Box:
    """Clip `box` to the image of `size` (width, height), leaving at least `margin` px of it inside (OSTrack's rule)."""
    x, y, w, h = box
    width, height = size
    left = min(max(0.0, x), width - margin)
    right = max(margin, min(x + w, width))
    top = min(max(0.0, y), height - margin)
    bottom = max(margin, min(y + h, height))
    return left, top, max(margin, right - left), max(margin, bottom - top)


def moved_inside(box: Box, size: tuple[int, int]) -> Box:
    """Move `box`, whole, into the image of `size` (width, height); where it is larger than that, to the corner."""
    x, y, w, h = box
    return max(0.0, min(x, size[0] - w)), max(0.0, min(y, size[1] - h)), w, h


def iou(a: Box, b: Box) -> float:
    """Intersection over union of two boxes; 0 where either has no area."""
    overlap_w = min(a[0] + a[2], b[0] + b[2]) - max(a[0], b[0])
    overlap_h = min(a[1] + a[3], b[1] + b[3]) - max(a[1], b[1])
    if overlap_w <= 0 or overlap_h <= 0:
        return 0.0
    overlap = overlap_w * overlap_h
    return overlap / (a[2] * a[3] + b[2] * b[3] - overlap)


def centre(box: Box) -> NDArray[np.float64]:
    """x and y, (2,)."""
    return np.array((box[0] + box[2] / 2, box[1] + box[3] / 2))


def is_within(place: NDArray[np.float64], box: Box, sides: float) -> bool:
    """Whether `place` is less than so many sides of `box` off its centre; a box's narrow side counts as wider."""
    x, y, width, height = box
    narrowest = 0.3 * (width + height)
    return (
        abs(place[0] - x - width / 2) < sides * max(width, narrowest)
        and abs(place[1] - y - height / 2) < sides * max(height, narrowest)
    )
