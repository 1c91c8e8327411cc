"""The records that every reader yields."""

from dataclasses import dataclass

import numpy as np


class DatasetError(ValueError):
    """A file of a dataset is missing, damaged or contradicts another; the message names it."""


@dataclass(frozen=True)
class Clip:
    """A target through time, in the N frames of a video that are kept; the target is in all of them.

    visible: (N, H, W, 3) uint8 RGB or None; thermal: (N, H, W) uint8 or None, aligned with visible.
    boxes: (N, 4) float32 x, y, w, h in pixels of these frames.
    frames: (N,) int, each frame's number in the video, rising.
    """

    name: str
    visible: np.ndarray | None
    thermal: np.ndarray | None
    boxes: np.ndarray
    frames: np.ndarray

    def __post_init__(self):
        counts = {len(a) for a in (self.visible, self.thermal, self.boxes, self.frames) if a is not None}
        if len(counts) != 1:
            raise DatasetError(f"{self.name}: unequal numbers of frames and boxes: {sorted(counts)}")
        if self.visible is None and self.thermal is None:
            raise DatasetError(f"{self.name}: neither visible nor thermal frames")


@dataclass(frozen=True)
class Still:
    """One moment without labels.

    visible: (H, W, 3) uint8 RGB or None; thermal: (H, W) uint8 or None, aligned with visible.
    boxes: (K, 4) float32 x, y, w, h of regions that look like objects, found without labels.
    """

    name: str
    visible: np.ndarray | None
    thermal: np.ndarray | None
    boxes: np.ndarray
