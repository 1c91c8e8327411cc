"""Objects cut out of real frames in both modalities, to be pasted over others."""

from dataclasses import dataclass

import cv2
import numpy as np

from tpf_model.boxes import Box
from tpf_training.augmentation.simulate_thermal import draw_simulation
from tpf_training.augmentation.simulate_visible import draw_visible_simulation
from tpf_training.datasets.pseudo_boxes import find_blobs, solidity
from tpf_training.datasets.record import Clip, Still

TRACKED = 0.6
LARGEST = 96  # px; what is pasted is shown at about 64


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


def sprites_of_stills(stills: list[Still]) -> list[list[Sprite]]:
    """Each warm blob of the stills that have both modalities, one look each, cut out along its outline."""
    groups = []
    for still in stills:
        if still.visible is None:
            continue
        for (x, y, w, h), mask in find_blobs(still.thermal):
            if w * h >= 20 * 20 and h > 0.8 * w and solidity(mask) > 0.75:
                part = np.s_[y : y + h, x : x + w]
                groups.append([_sprite(still.visible[part], still.thermal[part], mask)])
    return groups


def sprites_of_clip(clip: Clip, rng: np.random.Generator, looks: int = 12) -> list[Sprite]:
    """Several looks of a clip's target, cut out along its outline (GrabCut); a missing thermal image is simulated."""
    simulate = draw_simulation(rng)
    sprites = []
    chosen = np.flatnonzero(clip.valid)
    for index in chosen[np.linspace(0, len(chosen) - 1, min(looks, len(chosen))).astype(int)]:
        x, y, w, h = (int(round(float(v))) for v in clip.boxes[index])
        height, width = clip.visible.shape[1:3]
        if w < 8 or h < 8 or x < 0 or y < 0 or x + w > width or y + h > height:
            continue
        part = np.s_[y : y + h, x : x + w]
        visible = np.ascontiguousarray(clip.visible[index][part])
        thermal = simulate(visible, (0, 0, w, h)) if clip.thermal is None else np.ascontiguousarray(clip.thermal[index][part])
        sprites.append(_sprite(visible, thermal, outline(clip.visible[index], (x, y, w, h))))
    return sprites


def sprites_of_thermal_track(clip: Clip, masks: list[np.ndarray], rng: np.random.Generator, looks: int = 12) -> list[Sprite]:
    """Several looks of a thermal clip's target, cut out along its known outline; the visible image is simulated."""
    simulate = draw_visible_simulation(rng)
    sprites = []
    for index in np.linspace(0, len(masks) - 1, min(looks, len(masks))).astype(int):
        x, y, w, h = clip.boxes[index].astype(int)
        thermal = np.ascontiguousarray(clip.thermal[index][y : y + h, x : x + w])
        sprites.append(_sprite(simulate(thermal), thermal, masks[index]))
    return sprites


def draw_group(rng: np.random.Generator, groups: list[list[Sprite]]) -> list[Sprite]:
    """One object of `groups`; those of many looks (real tracks of people and vehicles) are few and drawn more often."""
    if rng.random() < TRACKED:
        groups = [group for group in groups if len(group) > 1] or groups
    return groups[rng.integers(len(groups))]


def restyle(sprite: Sprite, visible_table: np.ndarray, thermal_table: np.ndarray) -> Sprite:
    """The same object under other light and at another temperature: tables (256,) or (256, 1, 3) uint8."""
    return Sprite(cv2.LUT(sprite.visible, visible_table), cv2.LUT(sprite.thermal, thermal_table), sprite.alpha)


def paste(visible: np.ndarray, thermal: np.ndarray, sprite: Sprite, box: Box, flip: bool = False) -> None:
    """Blend `sprite` into both images, in place, so that it fills `box` (crop pixels)."""
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


def _sprite(visible: np.ndarray, thermal: np.ndarray, mask: np.ndarray) -> Sprite:
    scale = min(1.0, LARGEST / np.sqrt(mask.size))
    size = max(4, round(mask.shape[1] * scale)), max(4, round(mask.shape[0] * scale))
    alpha = cv2.resize(mask.astype(np.uint8) * 255, size, interpolation=cv2.INTER_AREA)
    alpha = cv2.GaussianBlur(alpha, (5, 5), 0)
    resize = lambda image: cv2.resize(np.ascontiguousarray(image), size, interpolation=cv2.INTER_AREA)  # noqa: E731
    return Sprite(resize(visible), resize(thermal), alpha)


def outline(image: np.ndarray, box: tuple[int, int, int, int]) -> np.ndarray:
    """(h, w) bool: the foreground in `box` of an RGB image by GrabCut; a rounded box where that finds next to nothing or all."""
    x, y, w, h = box
    left, top = max(0, x - w // 3), max(0, y - h // 4)
    part = np.ascontiguousarray(image[top : y + h + h // 4, left : x + w + w // 3])
    mask = np.zeros(part.shape[:2], np.uint8)
    inner = (x - left, y - top, min(w, part.shape[1] - 1), min(h, part.shape[0] - 1))
    cv2.grabCut(part, mask, inner, np.zeros((1, 65)), np.zeros((1, 65)), 4, cv2.GC_INIT_WITH_RECT)
    found = ((mask == cv2.GC_FGD) | (mask == cv2.GC_PR_FGD))[y - top : y - top + h, x - left : x - left + w]
    found = cv2.morphologyEx(found.astype(np.uint8), cv2.MORPH_OPEN, np.ones((3, 3), np.uint8)).astype(bool)
    return found if 0.25 < found.mean() < 0.95 else _body_mask(w, h)


def _body_mask(w: int, h: int) -> np.ndarray:
    """A rounded rectangle (superellipse) that fills the box, because a body reaches its box's edges."""
    y, x = np.mgrid[0:h, 0:w]
    return np.abs((x + 0.5) / w * 2 - 1) ** 3 + np.abs((y + 0.5) / h * 2 - 1) ** 3 < 1.0
