"""Crops around a box that is not quite where the target is, as in tracking (OSTrack's `_get_jittered_box`)."""

from dataclasses import dataclass

import numpy as np

from tpf_model.boxes import Box
from tpf_model.crop import Crop
from tpf_training.checks import check_range, check_whole


@dataclass(frozen=True)
class Jitter:
    """factor: the crop's side in target sizes sqrt(w h); size: its output pixels; both are the network's.

    centre: largest shift, in target sizes, is half of it; scale: standard deviation of the log of w and h.
    visible: the smallest part of the target's area that must lie in the crop.
    """

    factor: float
    size: int
    centre: float = 0.0
    scale: float = 0.0
    visible: float = 0.6

    def __post_init__(self):
        check_range("factor", self.factor, 1, 16)
        check_whole("size", self.size, 16)
        if self.size > 256:
            raise ValueError(f"size is {self.size}; accepted: 16 to 256 (the noise of the augmentations is no larger)")
        check_range("centre", self.centre, 0, self.factor * 2)
        check_range("scale", self.scale, 0, 1)
        check_range("visible", self.visible, 0, 1)

    def crop(self, rng: np.random.Generator, box: Box, attempts: int = 10) -> Crop | None:
        """A jittered crop around `box`, or None if every attempt left the target outside."""
        for _ in range(attempts):
            w, h = np.array(box[2:]) * np.exp(rng.standard_normal(2) * self.scale)
            x, y = np.array(box[:2]) + np.array(box[2:]) / 2 + np.sqrt(w * h) * self.centre * (rng.random(2) - 0.5)
            crop = Crop.around((x - w / 2, y - h / 2, w, h), self.factor, self.size)
            if shown(crop.box_to_crop(box), self.size) >= self.visible:
                return crop
        return None

    def crop_elsewhere(
        self, rng: np.random.Generator, box: Box, size: tuple[int, int], attempts: int = 10
    ) -> tuple[Crop, Box] | None:
        """A crop that shows nothing of `box`, inside an image of `size` (width, height), and what it is around.

        None if every attempt showed some of it.
        """
        w, h = box[2:]
        for _ in range(attempts):
            x, y = rng.random(2) * np.maximum(0, np.array(size) - (w, h))
            crop = self.crop(rng, (x, y, w, h))
            if crop is not None and shown(crop.box_to_crop(box), self.size) == 0:
                return crop, (x, y, w, h)
        return None


def shown(box: Box, size: float) -> float:
    """The part of `box`'s area that lies in a crop of `size`."""
    w = min(box[0] + box[2], size) - max(box[0], 0)
    h = min(box[1] + box[3], size) - max(box[1], 0)
    return max(0.0, w) * max(0.0, h) / (box[2] * box[3])
