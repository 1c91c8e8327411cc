"""What happens to one camera and not to the other: smoke, darkness, glare, blur, noise, thermal crossover, blackout.

Each family is `draw_<name>(rng)`, that draws its strength and returns a function image, box -> image of the same shape;
`image` is (S, S, 3) or (S, S) uint8, S up to 256, `box` the target in its pixels.
"""

import math

import cv2
import numpy as np

from tpf_training.augmentation.simulate_thermal import add_noise


def draw_smoke(rng: np.random.Generator):
    """A bright veil, thicker in some places: `image * (1 - veil) + colour * veil`."""
    density, unevenness = rng.uniform(0.45, 0.97), rng.uniform(0.05, 0.35)
    colour = np.clip(rng.uniform(110, 245) + rng.normal(0, 6, 3), 0, 255)

    def smoke(image, box):
        cells = rng.normal(0, 1, (int(rng.integers(3, 7)),) * 2).astype(np.float32)
        veil = cv2.resize(cells, image.shape[1::-1], interpolation=cv2.INTER_CUBIC) * unevenness + density
        veil = np.clip(veil, 0, 1)
        fog = np.empty_like(image)
        fog[:] = colour if image.ndim == 3 else colour.mean()
        return cv2.blendLinear(image, fog, 1 - veil, veil)

    return smoke


def draw_low_light(rng: np.random.Generator):
    """A night exposure: dark and noisy."""
    gain, gamma, noise = rng.uniform(0.06, 0.4), rng.uniform(1.0, 1.8), rng.uniform(2, 9)
    table = (255 * gain * (np.arange(256) / 255) ** gamma).astype(np.uint8)
    return lambda image, box: add_noise(rng, cv2.LUT(image, table), noise)


def draw_saturation(rng: np.random.Generator):
    """An overexposed image: everything above a level is white."""
    gain, offset = rng.uniform(1.5, 4.0), rng.uniform(0, 90)
    table = (np.arange(256) * gain + offset).clip(0, 255).astype(np.uint8)
    return lambda image, box: cv2.LUT(image, table)


def draw_blur(rng: np.random.Generator):
    """Out of focus, or smeared along one direction by motion."""
    if rng.random() < 0.5:
        sigma = rng.uniform(1.5, 4.0)
        return lambda image, box: cv2.GaussianBlur(image, (0, 0), sigma)
    length, angle = int(rng.integers(5, 16)), rng.uniform(0, math.pi)
    kernel = np.zeros((length, length), np.float32)
    centre, reach = (length - 1) / 2, length / 2
    ends = [(round(centre + s * reach * math.cos(angle)), round(centre + s * reach * math.sin(angle))) for s in (-1, 1)]
    cv2.line(kernel, *ends, 1.0)
    kernel /= kernel.sum()
    return lambda image, box: cv2.filter2D(image, -1, kernel)


def draw_noise(rng: np.random.Generator):
    sigma = rng.uniform(6, 25)
    return lambda image, box: add_noise(rng, image, sigma)


def draw_low_contrast(rng: np.random.Generator):
    """A flat image: a narrow band of grey levels."""
    contrast, level = rng.uniform(0.08, 0.4), rng.uniform(0.1, 0.8)
    table = (255 * level + (np.arange(256) - 128) * contrast).clip(0, 255).astype(np.uint8)
    return lambda image, box: cv2.LUT(image, table)


def draw_crossover(rng: np.random.Generator):
    """The target is as warm as what is around it: its part of a thermal image fades into the mean around it."""
    strength = rng.uniform(0.6, 1.0)

    def crossover(image, box):
        x, y, w, h = box
        mask = np.zeros(image.shape[:2], np.float32)
        centre, axes = (round(x + w / 2), round(y + h / 2)), (max(1, round(w * 0.55)), max(1, round(h * 0.55)))
        cv2.ellipse(mask, centre, axes, 0, 0, 360, strength, -1)
        mask = cv2.blur(mask, (9, 9))
        around = cv2.blur(image, (63, 63))
        return cv2.blendLinear(image, around, 1 - mask, mask)

    return crossover


def draw_blackout(rng: np.random.Generator):
    """A dead camera that still sends images."""
    return lambda image, box: np.zeros_like(image)


FAMILIES = {
    "smoke": draw_smoke,
    "low_light": draw_low_light,
    "saturation": draw_saturation,
    "blur": draw_blur,
    "noise": draw_noise,
    "low_contrast": draw_low_contrast,
    "crossover": draw_crossover,
    "blackout": draw_blackout,
}
