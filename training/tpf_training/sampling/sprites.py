"""Objects cut out of real frames in both modalities, to be pasted over others (`cut_out.py` makes them)."""

from dataclasses import dataclass

import cv2
import numpy as np

from tpf_model.boxes import Box


@dataclass(frozen=True)
class Sprite:
    """visible: (h, w, 3) uint8 RGB; thermal: (h, w) uint8; alpha: (h, w) uint8, 255 where it covers."""

    visible: np.ndarray
    thermal: np.ndarray
    alpha: np.ndarray

    @property
    def aspect(self) -> float:
        """Height over width."""
        return self.alpha.shape[0] / self.alpha.shape[1]


class ObjectPool:
    """Objects to paste. `groups`: each one's looks, in the order of time."""

    def __init__(self, groups: list[list[Sprite]]):
        self.groups = groups
        self.tracked = [group for group in groups if len(group) > 1] or groups

    def draw(self, rng: np.random.Generator, tracked: float) -> list[Sprite]:
        """The looks of one object; with probability `tracked` one of many (a real track of a person or vehicle)."""
        groups = self.tracked if rng.random() < tracked else self.groups
        return groups[rng.integers(len(groups))]


def restyle(sprite: Sprite, visible_table: np.ndarray, thermal_table: np.ndarray) -> Sprite:
    """The same object under other light and at another temperature: tables (256,) uint8."""
    return Sprite(cv2.LUT(sprite.visible, visible_table), cv2.LUT(sprite.thermal, thermal_table), sprite.alpha)


def paste(visible: np.ndarray, thermal: np.ndarray, sprite: Sprite, box: Box, flip: bool = False) -> None:
    """Blend `sprite`, stretched to fill `box` (crop pixels), into both images in place, as far as it lies inside."""
    height, width = thermal.shape
    x, y, w, h = box
    left, top = max(0, int(np.floor(x))), max(0, int(np.floor(y)))
    right, bottom = min(width, int(np.ceil(x + w))), min(height, int(np.ceil(y + h)))
    if right - left < 2 or bottom - top < 2:
        return
    sx, sy = sprite.alpha.shape[1] / w, sprite.alpha.shape[0] / h
    matrix = np.array([[sx, 0, (left + 0.5 - x) * sx - 0.5], [0, sy, (top + 0.5 - y) * sy - 0.5]])
    if flip:
        matrix[0] = -matrix[0]
        matrix[0, 2] += sprite.alpha.shape[1] - 1
    size, flags = (right - left, bottom - top), cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    colour = cv2.warpAffine(sprite.visible, matrix, size, flags=flags, borderMode=cv2.BORDER_REPLICATE)
    warmth = cv2.warpAffine(sprite.thermal, matrix, size, flags=flags, borderMode=cv2.BORDER_REPLICATE)
    alpha = cv2.warpAffine(sprite.alpha, matrix, size, flags=flags).astype(np.float32) / 255
    part = np.s_[top:bottom, left:right]
    for image, pasted in ((visible, colour), (thermal, warmth)):
        image[part] = cv2.blendLinear(np.ascontiguousarray(image[part]), pasted, 1 - alpha, alpha)
