"""Square crops around a box, and the mapping of boxes into them and back.

The crop's side is ceil(sqrt(w h) * factor) pixels around the box's centre, outside the image it is zero (OSTrack's
convention), and it is resampled to `size` x `size`. Nothing is rounded to whole pixels, so boxes map back exactly.
"""

import math
from dataclasses import dataclass

import cv2
import numpy as np

from tpf_model.boxes import Box


@dataclass(frozen=True)
class Crop:
    """A square region of the visible image: top-left corner `x`, `y` and `side` in its pixels, `size` output pixels."""

    x: float
    y: float
    side: float
    size: int

    @classmethod
    def around(cls, box: Box, factor: float, size: int) -> "Crop":
        x, y, w, h = box
        side = max(1, math.ceil(math.sqrt(w * h) * factor))
        return cls(x + w / 2 - side / 2, y + h / 2 - side / 2, side, size)

    @property
    def scale(self) -> float:
        """Output pixels per visible pixel."""
        return self.size / self.side

    def box_to_crop(self, box: Box) -> Box:
        """Map a box from visible-image pixels to crop pixels."""
        s = self.scale
        return (box[0] - self.x) * s, (box[1] - self.y) * s, box[2] * s, box[3] * s

    def box_to_image(self, box: Box) -> Box:
        """Map a box from crop pixels to visible-image pixels."""
        s = self.scale
        return box[0] / s + self.x, box[1] / s + self.y, box[2] / s, box[3] / s

    def to_image_matrix(self) -> np.ndarray:
        """(3, 3) matrix from crop coordinates to visible-image coordinates, both continuous."""
        return np.array([[1 / self.scale, 0, self.x], [0, 1 / self.scale, self.y], [0, 0, 1]])


# OpenCV puts a pixel's centre at an integer; continuous coordinates put it at +0.5.
_CENTRE = np.array([[1, 0, 0.5], [0, 1, 0.5], [0, 0, 1]])
_CORNER = np.array([[1, 0, -0.5], [0, 1, -0.5], [0, 0, 1]])


def sample(image: np.ndarray, crop: Crop, image_to_visible: np.ndarray | None = None) -> np.ndarray:
    """Resample `crop` out of `image` bilinearly, zeros outside it.

    image: (H, W) or (H, W, 3), uint8 or float32. `image_to_visible` is the (3, 3) homography from this image's
    continuous coordinates to the visible image's; None means that they are the same. Returns (size, size[, 3]) of
    the image's dtype. Where the crop is shrunk by 2 or more, the source is first averaged over whole pixels, because
    bilinear sampling alone would skip pixels.
    """
    to_source = crop.to_image_matrix()
    if image_to_visible is not None:
        to_source = np.linalg.inv(image_to_visible) @ to_source
    return warp(image, to_source, (crop.size, crop.size))


def warp(image: np.ndarray, to_source: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Resample `image` as `sample` does, to any `size` (width, height).

    `to_source` is the (3, 3) matrix from the output's continuous coordinates to those of `image`.
    """
    image, to_source = shrink(image, to_source, size)
    matrix = between_centres(to_source)
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    if is_affine(matrix):
        return cv2.warpAffine(image, matrix[:2], size, flags=flags)
    return cv2.warpPerspective(image, matrix, size, flags=flags)


def between_centres(to_source: np.ndarray) -> np.ndarray:
    """`to_source` for coordinates that put a pixel's centre at an integer, as OpenCV's do; its last number is 1."""
    matrix = _CORNER @ to_source @ _CENTRE
    return matrix / matrix[2, 2]


def is_affine(matrix: np.ndarray) -> bool:
    return abs(matrix[2, 0]) < 1e-12 and abs(matrix[2, 1]) < 1e-12


def bounds(to_source: np.ndarray, size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray] | None:
    """The lowest and highest x, y that an output of `size` covers in the source, each (2,).

    None where the registration's horizon runs through it: then it covers something infinite.
    """
    corners = to_source @ np.array([[0, size[0], size[0], 0], [0, 0, size[1], size[1]], [1, 1, 1, 1]], dtype=float)
    if corners[2].min() * corners[2].max() <= 0:
        return None
    corners = corners[:2] / corners[2]
    return corners.min(axis=1), corners.max(axis=1)


def shrink(image: np.ndarray, to_source: np.ndarray, size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Average `image` over whole pixels where one output pixel covers two or more, and adapt `to_source` to it."""
    covered = bounds(to_source, size)
    if covered is None:
        return image, to_source
    low, high = covered
    height, width = image.shape[:2]
    factor = int(min(max((high - low) / size), max(height, width)))
    if factor < 2:
        return image, to_source
    # Only the part that the crop covers is averaged, on a grid that starts at a whole pixel and, where the image ends
    # before a cell does, goes on with zeros.
    left, top = (int(max(0, np.floor(v))) for v in low)
    right, bottom = min(high[0], width), min(high[1], height)
    columns, rows = math.ceil((right - left) / factor), math.ceil((bottom - top) / factor)
    if columns < 1 or rows < 1:  # nothing of the image is in the crop
        return image, to_source
    part = image[top : top + rows * factor, left : left + columns * factor]
    missing_rows, missing_columns = rows * factor - part.shape[0], columns * factor - part.shape[1]
    if missing_rows or missing_columns:
        part = cv2.copyMakeBorder(part, 0, missing_rows, 0, missing_columns, cv2.BORDER_CONSTANT)
    part = cv2.resize(part, (columns, rows), interpolation=cv2.INTER_AREA)
    to_part = np.array([[1 / factor, 0, -left / factor], [0, 1 / factor, -top / factor], [0, 0, 1]])
    return part, to_part @ to_source
