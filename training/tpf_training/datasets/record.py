"""The records that every reader yields."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np


class DatasetError(ValueError):
    """A file of a dataset is missing, damaged or contradicts another; the message names it."""


class Frames(Protocol):
    """Frames of one size: an array in memory or mapped from a file, or an `ImageSequence`, which decodes when asked."""

    shape: tuple[int, ...]

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> np.ndarray: ...


@dataclass(frozen=True)
class Clip:
    """A target through time, in the N frames of a video that are kept; the target is in all of them.

    visible: (N, H, W, 3) uint8 RGB or None; thermal: (N, H, W) uint8 or None, aligned with visible.
    boxes: (N, 4) float32 x, y, w, h in pixels of these frames. They hold for both images: a crop shows the same place
    in both, and the tracker reports visible pixels, so where a set was boxed in each modality these are the visible
    one's, and how far the thermal target lies beside them is the misalignment that the tracker has to live with.
    frames: (N,) int, each frame's number in the video, rising.
    thermal_boxes: (N, 4) float32, where the thermal images have boxes of their own, 0 0 0 0 where the target is not
    in them; for measures that take the better of both.
    """

    name: str
    visible: Frames | None
    thermal: Frames | None
    boxes: np.ndarray
    frames: np.ndarray
    thermal_boxes: np.ndarray | None = None

    def __post_init__(self):
        parts = self.visible, self.thermal, self.boxes, self.frames, self.thermal_boxes
        counts = {len(part) for part in parts if part is not None}
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
