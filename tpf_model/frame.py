"""One moment as the tracker sees it: a visible and a thermal image, either of which may be missing."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Frame:
    """A visible and a thermal image of one moment.

    visible: (H, W, 3) uint8, RGB, or None where the camera is silent or unusable.
    thermal: (h, w) uint8, normalised (see `normalise.py`), of any size, or None.
    Nobody writes to the images afterwards: a tracker keeps the frame that its next template may come from.
    size: (width, height) of the visible image, whose pixels all boxes are in; needed only where `visible` is None and
    the thermal image has another size.
    """

    visible: np.ndarray | None
    thermal: np.ndarray | None
    size: tuple[int, int] = (0, 0)

    def __post_init__(self):
        if self.visible is None and self.thermal is None:
            raise ValueError("a frame needs a visible or a thermal image, both are missing")
        _check("visible", self.visible, 3)
        _check("thermal", self.thermal, 2)
        shown = self.visible if self.visible is not None else self.thermal
        if self.visible is not None or self.size == (0, 0):
            object.__setattr__(self, "size", (shown.shape[1], shown.shape[0]))


def _check(name: str, image: np.ndarray | None, dimensions: int) -> None:
    if image is None:
        return
    shape_ok = image.ndim == dimensions and (dimensions == 2 or image.shape[2] == 3) and image.size > 0
    if image.dtype != np.uint8 or not shape_ok:
        wanted = "(H, W, 3) uint8 RGB" if dimensions == 3 else "(H, W) uint8"
        raise ValueError(f"{name} image is {image.shape} {image.dtype}, needs {wanted}")
