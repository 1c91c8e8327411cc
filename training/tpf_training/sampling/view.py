"""A crop, mostly with the target in it, before the augmentations."""

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np

from tpf_model.boxes import Box
from tpf_model.crop import Crop, sample


@dataclass
class View:
    """visible: (S, S, 3) uint8 RGB or None; thermal: (S, S) uint8 or None; box: the target in crop pixels.

    inside: (S, S) uint8, 255 where the crop shows the image and 0 where it is padding; None = no padding.
    present: False where the crop does not show the target; `box` then is where one of its size would be.
    earlier: gives the same crop of what the cameras saw at an earlier moment, with the target's box at that time.
    Moments are counted from the template's, 0, over the dynamic template's, 1, to the search frame's, 2. None where no
    such image is known.
    """

    visible: np.ndarray | None
    thermal: np.ndarray | None
    box: Box
    inside: np.ndarray | None = None
    present: bool = True
    earlier: Callable[[float], "View"] | None = None

    def blank_padding(self) -> None:
        """Make the padding zero again, as the tracker's crops have it, after something painted over it."""
        if self.inside is not None:
            self.visible = cv2.bitwise_and(self.visible, self.visible, mask=self.inside)
            self.thermal = cv2.bitwise_and(self.thermal, self.thermal, mask=self.inside)

    @property
    def size(self) -> int:
        return (self.visible if self.visible is not None else self.thermal).shape[0]


def cut(
    visible: np.ndarray | None, thermal: np.ndarray | None, box: Box, crop: Crop, warp: np.ndarray | None = None
) -> View:
    """The `crop` of both images. `warp`: (3, 3), from image pixels to those that `box` and `crop` are in."""
    shown, inside = visible if visible is not None else thermal, None
    if _reaches_out(crop, shown, warp):
        inside = sample(np.full(shown.shape[:2], 255, np.uint8), crop, warp)
    images = (None if image is None else sample(np.asarray(image), crop, warp) for image in (visible, thermal))
    return View(*images, crop.box_to_crop(box), inside)


def _reaches_out(crop: Crop, image: np.ndarray, warp: np.ndarray | None) -> bool:
    height, width = image.shape[:2]
    left, top, right, bottom = crop.x, crop.y, crop.x + crop.side, crop.y + crop.side
    if warp is not None:
        corners = np.array([[left, right, right, left], [top, top, bottom, bottom], [1, 1, 1, 1]])
        x, y, _ = np.linalg.inv(warp) @ corners  # affine: the last row stays 1
        left, top, right, bottom = x.min(), y.min(), x.max(), y.max()
    return left < 0 or top < 0 or right > width or bottom > height
