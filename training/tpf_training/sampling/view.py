"""A crop with the target in it, before the augmentations."""

from dataclasses import dataclass

import numpy as np

from tpf_model.boxes import Box
from tpf_model.crop import Crop, sample


@dataclass
class View:
    """visible: (S, S, 3) uint8 RGB or None; thermal: (S, S) uint8 or None; box: the target in crop pixels."""

    visible: np.ndarray | None
    thermal: np.ndarray | None
    box: Box

    @property
    def size(self) -> int:
        return (self.visible if self.visible is not None else self.thermal).shape[0]


def cut(visible: np.ndarray | None, thermal: np.ndarray | None, box: Box, crop: Crop, warp: np.ndarray | None = None) -> View:
    """The `crop` of both images. `warp`: (3, 3), from image pixels to those that `box` and `crop` are in."""
    images = (None if image is None else sample(np.asarray(image), crop, warp) for image in (visible, thermal))
    return View(*images, crop.box_to_crop(box))
