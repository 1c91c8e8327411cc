"""Cutting objects out of stills and clips along their outlines."""

import cv2
import numpy as np

from tpf_training.augmentation.simulate_thermal import draw_simulation
from tpf_training.augmentation.simulate_visible import draw_visible_simulation
from tpf_training.datasets.pseudo_boxes import find_blobs, solidity
from tpf_training.datasets.record import Clip, Still
from tpf_training.sampling.sprites import Sprite

LARGEST = 96  # px; what is pasted is shown at about 64
LOOKS = 12  # of each clip's target


def sprites_of_stills(stills: list[Still]) -> list[list[Sprite]]:
    """Each warm, upright blob of the stills that have both modalities, one look each."""
    groups = []
    for still in stills:
        if still.visible is None:
            continue
        for (x, y, w, h), mask in find_blobs(still.thermal):
            if w * h >= 20 * 20 and h > 0.8 * w and solidity(mask) > 0.75:
                part = np.s_[y : y + h, x : x + w]
                groups.append([_sprite(still.visible[part], still.thermal[part], mask)])
    return groups


def sprites_of_clip(clip: Clip, rng: np.random.Generator) -> list[Sprite]:
    """Looks of a visible clip's target, in the order of time, by GrabCut; a lacking thermal image is simulated."""
    simulate = draw_simulation(rng)
    sprites = []
    for index in _spread(len(clip.boxes)):
        x, y, w, h = (int(round(float(v))) for v in clip.boxes[index])
        height, width = clip.visible.shape[1:3]
        if w < 8 or h < 8 or x < 0 or y < 0 or x + w > width or y + h > height:
            continue
        part, frame = np.s_[y : y + h, x : x + w], clip.visible[index]
        visible = frame[part]
        thermal = simulate(visible, (0, 0, w, h)) if clip.thermal is None else clip.thermal[index][part]
        sprites.append(_sprite(visible, thermal, _outline(frame, (x, y, w, h))))
    return sprites


def sprites_of_thermal_track(clip: Clip, masks: list[np.ndarray], rng: np.random.Generator) -> list[Sprite]:
    """Looks of a thermal clip's target, in the order of time, by its known outline; the visible image is simulated."""
    simulate = draw_visible_simulation(rng)
    sprites = []
    for index in _spread(len(masks)):
        x, y, w, h = clip.boxes[index].astype(int)
        thermal = np.ascontiguousarray(clip.thermal[index][y : y + h, x : x + w])
        sprites.append(_sprite(simulate(thermal), thermal, masks[index]))
    return sprites


def _spread(count: int) -> np.ndarray:
    """Indices of up to LOOKS of `count` frames, from the first to the last."""
    return np.linspace(0, count - 1, min(LOOKS, count)).astype(int)


def _sprite(visible: np.ndarray, thermal: np.ndarray, mask: np.ndarray) -> Sprite:
    scale = min(1.0, LARGEST / np.sqrt(mask.size))
    size = max(4, round(mask.shape[1] * scale)), max(4, round(mask.shape[0] * scale))
    alpha = mask.astype(np.uint8) * 255
    images = (cv2.resize(image, size, interpolation=cv2.INTER_AREA) for image in (visible, thermal, alpha))
    visible, thermal, alpha = images
    return Sprite(visible, thermal, cv2.GaussianBlur(alpha, (5, 5), 0))


def _outline(image: np.ndarray, box: tuple[int, int, int, int]) -> np.ndarray:
    """(h, w) bool: the foreground in `box` of an RGB image; a rounded box where GrabCut finds hardly any, or all."""
    x, y, w, h = box
    left, top = max(0, x - w // 3), max(0, y - h // 4)
    part = np.ascontiguousarray(image[top : y + h + h // 4, left : x + w + w // 3])
    mask = np.zeros(part.shape[:2], np.uint8)
    inner = (x - left, y - top, min(w, part.shape[1] - 1), min(h, part.shape[0] - 1))
    cv2.setRNGSeed(0)  # GrabCut draws from OpenCV's own generator, which remembers all that ran before
    cv2.grabCut(part, mask, inner, np.zeros((1, 65)), np.zeros((1, 65)), 4, cv2.GC_INIT_WITH_RECT)
    found = ((mask == cv2.GC_FGD) | (mask == cv2.GC_PR_FGD))[y - top : y - top + h, x - left : x - left + w]
    found = cv2.morphologyEx(found.astype(np.uint8), cv2.MORPH_OPEN, np.ones((3, 3), np.uint8)).astype(bool)
    return found if 0.25 < found.mean() < 0.95 else _rounded_box(w, h)


def _rounded_box(w: int, h: int) -> np.ndarray:
    """A superellipse that fills the box, because a body reaches its box's edges."""
    y, x = np.mgrid[0:h, 0:w]
    return np.abs((x + 0.5) / w * 2 - 1) ** 3 + np.abs((y + 0.5) / h * 2 - 1) ** 3 < 1.0
