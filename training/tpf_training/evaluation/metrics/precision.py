"""Precision: the share of frames whose centre error is within a threshold (Wu et al., OTB, 2013)."""

import numpy as np

THRESHOLDS = np.linspace(0, 50, 51)  # pixels
NORMALISED_THRESHOLDS = np.linspace(0, 0.5, 51)  # target sizes
REPORTED = 20  # index into both: 20 px, 0.2 target sizes


def precision_curve(errors: np.ndarray, thresholds: np.ndarray = THRESHOLDS) -> np.ndarray:
    """(T,) share of frames with an error <= t for each of the (T,) thresholds; errors: (N,), N >= 1."""
    return (errors[:, None] <= thresholds).mean(axis=0)


def precision_rate(errors: np.ndarray) -> float:
    """PR: the share of frames with a centre error of at most 20 px; errors: (N,) px."""
    return float(precision_curve(errors)[REPORTED])


def normalised_precision_rate(errors: np.ndarray) -> float:
    """NPR: the share of frames with a centre error of at most 0.2 target sizes; errors: (N,) target sizes."""
    return float(precision_curve(errors, NORMALISED_THRESHOLDS)[REPORTED])
