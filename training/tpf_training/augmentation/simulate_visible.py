"""A made-up visible image for clips that have only a thermal one."""

import cv2
import numpy as np


def draw_visible_simulation(rng: np.random.Generator):
    """Draw one fake daylight camera: a function (thermal (S, S) uint8) -> (S, S, 3) uint8 RGB.

    Each channel bends the grey levels its own way, rising or falling, so the brightness order differs from thermal's.
    """
    knots = np.linspace(0, 255, 5)
    shared = rng.uniform(0, 255, 5)
    tables = [np.interp(np.arange(256), knots, np.clip(shared + rng.normal(0, 25, 5), 0, 255)) for _ in range(3)]
    table = np.stack(tables, axis=-1).astype(np.uint8)[:, None]
    blur = rng.random() < 0.3

    def simulate(thermal: np.ndarray) -> np.ndarray:
        visible = cv2.LUT(cv2.cvtColor(thermal, cv2.COLOR_GRAY2RGB), table)
        return cv2.blur(visible, (3, 3)) if blur else visible

    return simulate
