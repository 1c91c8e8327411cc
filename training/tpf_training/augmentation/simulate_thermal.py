"""A made-up thermal image for clips that have only a visible one: aligned, but with its own brightness order."""

import math

import cv2
import numpy as np

from tpf_model.boxes import Box


def draw_simulation(rng: np.random.Generator):
    """Draw one fake thermal camera: a function (visible (S, S, 3) uint8 RGB, target box) -> (S, S) uint8.

    Use the same one for the crops of one sample, so that the target looks alike in them. It mixes the channels with
    random signs, bends the result (gamma), makes the target (and some other places, so that warmth alone does not give
    it away) warmer or colder, then blurs and adds noise.
    """
    mix = rng.normal(0, 1, 3) + rng.choice([-1.2, 1.2])
    mix = (mix / np.abs(mix).sum()).astype(np.float32)
    gamma, contrast, level = math.exp(rng.normal(0, 0.4)), rng.uniform(0.25, 1.0), rng.uniform(20, 110)
    table = (level + (255 - level) * contrast * (np.arange(256) / 255) ** gamma).clip(0, 255).astype(np.uint8)
    warmth = rng.choice([0.0, rng.uniform(25, 110), -rng.uniform(15, 60)], p=[0.25, 0.6, 0.15])
    others, blur, noise = int(rng.integers(0, 4)), rng.uniform(0.4, 1.6), rng.uniform(0, 5)
    offset = float(255 * -mix[mix < 0].sum())

    def simulate(visible: np.ndarray, box: Box) -> np.ndarray:
        grey = cv2.transform(visible, np.append(mix, offset)[None])
        thermal = cv2.LUT(grey, table)
        if warmth:
            heat = np.zeros(thermal.shape, np.uint8)
            # Only a search crop shows enough besides the target.
            elsewhere = [_elsewhere(rng, box, len(thermal)) for _ in range(others if len(thermal) > 128 else 0)]
            for place in (box, *elsewhere):
                _warm(heat, visible, place, int(abs(warmth)))
            thermal = cv2.add(thermal, heat) if warmth > 0 else cv2.subtract(thermal, heat)
        thermal = cv2.GaussianBlur(thermal, (5, 5), blur)
        return add_noise(rng, thermal, noise)

    return simulate


_NOISE = np.random.default_rng(0).standard_normal((512, 512)).astype(np.float32)


def add_noise(rng: np.random.Generator, image: np.ndarray, sigma: float) -> np.ndarray:
    """Add Gaussian noise of `sigma` grey levels to an image of up to 256 px.

    It is cut out of a fixed field: drawing it anew costs 10 times more.
    """
    if sigma < 0.5:
        return image
    height, width = image.shape[:2]
    y, x = rng.integers(0, 512 - height + 1), rng.integers(0, 512 - width + 1)
    noise = _NOISE[y : y + height, x : x + width] * sigma
    if image.ndim == 3:
        noise = cv2.merge([noise, noise[::-1], noise[:, ::-1]])
    return cv2.add(image, noise, dtype=cv2.CV_8U)


def _elsewhere(rng: np.random.Generator, box: Box, size: int) -> Box:
    x, y = rng.uniform(0, size, 2)
    w, h = np.array(box[2:]) * np.exp(rng.normal(0, 0.3, 2))
    return x - w / 2, y - h / 2, w, h


def _warm(heat: np.ndarray, visible: np.ndarray, box: Box, value: int) -> None:
    """Write up to `value` into `heat` where, inside `box`, `visible` differs from the colour at the box's edges."""
    height, width = heat.shape
    left, top = max(0, round(box[0])), max(0, round(box[1]))
    right, bottom = min(width, round(box[0] + box[2])), min(height, round(box[1] + box[3]))
    w, h = right - left, bottom - top
    if w < 4 or h < 4:
        return
    part = visible[top:bottom, left:right]
    edge = np.concatenate([part[0], part[:, 0], part[:, -1]])
    red, green, blue = cv2.split(cv2.absdiff(part, np.full_like(part, np.median(edge, axis=0))))
    differs = cv2.max(cv2.max(red, green), blue)
    body = np.zeros((h, w), np.uint8)
    cv2.ellipse(body, (w // 2, h // 2), (max(1, round(w * 0.44)), max(1, round(h * 0.47))), 0, 0, 360, 255, -1)
    # The core is warm whatever it looks like, the rest where it stands out.
    differs = cv2.convertScaleAbs(differs, alpha=6.0)
    core = np.zeros((h, w), np.uint8)
    cv2.ellipse(core, (w // 2, round(h * 0.42)), (max(1, round(w * 0.22)), max(1, round(h * 0.3))), 0, 0, 360, 170, -1)
    warm = cv2.blur(cv2.max(cv2.min(differs, body), core), (5, 5))
    heat[top:bottom, left:right] = cv2.max(heat[top:bottom, left:right], cv2.convertScaleAbs(warm, alpha=value / 255))
