"""MSE and PSNR: how far an image is from another, pixel by pixel."""

import math

import numpy as np

PEAK = 255


def mean_squared_error(a: np.ndarray, b: np.ndarray) -> float:
    """Of two (H, W) uint8, in squared grey levels."""
    return float(np.square(a.astype(np.float64) - b).mean())


def peak_signal_to_noise(error: float) -> float:
    """The ratio in dB that a mean squared error stands for, by the peak 255; infinite where there is no error."""
    return 10 * math.log10(PEAK**2 / error) if error else math.inf
