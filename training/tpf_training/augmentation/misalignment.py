"""Cameras side by side never agree exactly: the thermal image lies a few pixels off."""

import cv2
import numpy as np


def draw_misalignment(rng: np.random.Generator, pixels: float, scale: float) -> np.ndarray:
    """(2, 3) affine for 256 px crops: a shift and a change of size of these standard deviations."""
    scale = 1 + rng.normal(0, scale)
    shift = rng.normal(0, pixels, 2) + 128 * (1 - scale)
    return np.array([[scale, 0, shift[0]], [0, scale, shift[1]]])


def misalign(thermal: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """Move a crop of any size: the target is as large in 128 px crops as in 256 px ones, so it moves by as much."""
    centred = matrix.copy()
    centred[:, 2] += (thermal.shape[0] / 2 - 128) * (1 - matrix[0, 0])
    return cv2.warpAffine(thermal, centred, thermal.shape[::-1], borderMode=cv2.BORDER_REPLICATE)
