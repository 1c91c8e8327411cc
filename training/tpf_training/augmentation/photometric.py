"""Joint draws for both modalities: flip, grey, brightness (OSTrack's); and each camera's own exposure drift."""

import cv2
import numpy as np


def brighten(image: np.ndarray, factor: float) -> np.ndarray:
    """uint8 image of any channels times `factor`, clipped."""
    return cv2.convertScaleAbs(image, alpha=factor)  # a third of a table's time


def drift_table(rng: np.random.Generator, strength: float = 1.0) -> np.ndarray:
    """(256,) uint8: a slightly different gain, offset and gamma, as automatic exposure and gain control give."""
    gain, gamma = np.exp(rng.normal(0, 0.12 * strength)), np.exp(rng.normal(0, 0.12 * strength))
    offset = rng.normal(0, 8 * strength)
    return (255 * gain * (np.arange(256) / 255) ** gamma + offset).clip(0, 255).astype(np.uint8)


def to_grey(visible: np.ndarray) -> np.ndarray:
    """(S, S, 3) uint8 without colour."""
    return cv2.cvtColor(cv2.cvtColor(visible, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
