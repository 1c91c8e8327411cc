"""SSIM: how alike two images are in local brightness, contrast and structure."""

import cv2
import numpy as np

WINDOW, SIGMA = 11, 1.5
_KERNEL = cv2.getGaussianKernel(WINDOW, SIGMA, cv2.CV_64F)
_BRIGHTNESS, _CONTRAST = (0.01 * 255) ** 2, (0.03 * 255) ** 2  # C1 and C2


def structural_similarity(a: np.ndarray, b: np.ndarray) -> float:
    """Mean over all places of the whole window in two (H, W) uint8, each side 11 or longer; at most 1.

    Wang, Bovik, Sheikh and Simoncelli, "Image quality assessment: from error visibility to structural similarity",
    2004, with its Gaussian window of 11 x 11 pixels, sigma 1.5, and its constants 0.01 and 0.03.
    """
    a, b = a.astype(np.float64), b.astype(np.float64)
    mean_a, mean_b = _local(a), _local(b)
    variance_a, variance_b = _local(a * a) - mean_a**2, _local(b * b) - mean_b**2
    covariance = _local(a * b) - mean_a * mean_b
    brightness = (2 * mean_a * mean_b + _BRIGHTNESS) / (mean_a**2 + mean_b**2 + _BRIGHTNESS)
    structure = (2 * covariance + _CONTRAST) / (variance_a + variance_b + _CONTRAST)
    return float((brightness * structure).mean())


def _local(image: np.ndarray) -> np.ndarray:
    edge = WINDOW // 2
    return cv2.sepFilter2D(image, cv2.CV_64F, _KERNEL, _KERNEL)[edge:-edge, edge:-edge]
