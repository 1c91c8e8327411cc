"""Objects cut out of real frames in both modalities, to be pasted over others (`cut_out.py` makes them)."""

from dataclasses import dataclass

import cv2
import numpy as np

from tpf_model.boxes import Box

TRACKED = 0.6


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


def draw_group(rng: np.random.Generator, groups: list[list[Sprite]]) -> list[Sprite]:
    """One object of `groups`; those of many looks (real tracks of people and vehicles) are few and drawn more often."""
    if rng.random() < TRACKED:
        groups = [group for group in groups if len(group) > 1] or groups
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
    alpha = cv2.warpAffine(sprite.alpha, matrix, size, flags=flags).astype(np.uint16)
    part = np.s_[top:bottom, left:right]
    thermal[part] = (thermal[part] * (255 - alpha) + warmth * alpha + 127) // 255
    alpha = alpha[..., None]
    visible[part] = (visible[part] * (255 - alpha) + colour * alpha + 127) // 255
