"""How well boxes fit the true ones: SR and PR (Wu et al., OTB, 2013), NPR (Mueller et al., TrackingNet, 2018)."""

import math
from dataclasses import dataclass

import numpy as np

from tpf_model.boxes import Box, iou

THRESHOLDS = np.linspace(0, 1, 21)  # of IoU
PIXELS = 20.0  # of PR
SIZES = 0.2  # of NPR, in widths and heights of the true box


@dataclass(frozen=True)
class Fit:
    """One box against the true one. Errors: between the centres, in pixels and in true sizes; infinite for no box."""

    iou: float
    error: float
    normalised_error: float


MISS = Fit(0.0, math.inf, math.inf)


def fit(box: Box, true: Box) -> Fit:
    """`MISS` where the estimated box is NaN."""
    if not all(map(math.isfinite, box)):
        return MISS
    dx, dy = ((box[i] + box[i + 2] / 2) - (true[i] + true[i + 2] / 2) for i in (0, 1))
    return Fit(iou(box, true), math.hypot(dx, dy), math.hypot(dx / true[2], dy / true[3]))


def success_rate(overlaps: np.ndarray) -> float:
    """SR of (N,) IoU: the mean over the thresholds of the share of frames with a greater one."""
    return float((overlaps[:, None] > THRESHOLDS).mean())


def statistics(fits: list[Fit]) -> dict:
    """Over frames, ready for JSON; without any frame only the count."""
    if not fits:
        return {"frames": 0}
    overlaps, errors, normalised = np.array([(one.iou, one.error, one.normalised_error) for one in fits]).T
    shares = {
        "success": success_rate(overlaps),
        "precision": (errors <= PIXELS).mean(),
        "normalised_precision": (normalised <= SIZES).mean(),
        "above_0.3": (overlaps > 0.3).mean(),
        "above_0.5": (overlaps > 0.5).mean(),
    }
    centre = {"mean": overlaps.mean(), "median": np.median(overlaps)}
    return {"frames": len(fits), **{name: round(float(value), 4) for name, value in (centre | shares).items()}}
