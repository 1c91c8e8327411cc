"""The scores of one tracker on one sequence."""

from dataclasses import dataclass

import numpy as np

from tpf_training.evaluation.metrics.centre_error import centre_errors, normalised_centre_errors
from tpf_training.evaluation.metrics.overlap import overlaps
from tpf_training.evaluation.metrics.precision import normalised_precision_rate, precision_rate
from tpf_training.evaluation.metrics.robustness import share_kept
from tpf_training.evaluation.metrics.success import success_rate
from tpf_training.evaluation.rules import Rules, as_counted


@dataclass(frozen=True)
class Scores:
    """IoU with the true box, and the centre error in pixels and in target sizes, each (M,) of the counted frames."""

    overlaps: np.ndarray
    errors: np.ndarray
    normalised_errors: np.ndarray

    def summary(self) -> dict[str, float]:
        """`sr`, `pr`, `npr` and `kept`, all 0..1 (see the metrics)."""
        return {
            "sr": success_rate(self.overlaps),
            "pr": precision_rate(self.errors),
            "npr": normalised_precision_rate(self.normalised_errors),
            "kept": share_kept(self.overlaps),
        }


def score_boxes(boxes: np.ndarray, truth: np.ndarray, present: np.ndarray, rules: Rules) -> Scores:
    """Compare a tracker's boxes with the true ones, both (N, 4) x, y, w, h in pixels, under `rules`.

    present: (N,) bool, the frames whose box is known and shows the target. ValueError where counts differ, a box is not
    finite, or no frame counts.
    """
    if boxes.shape != truth.shape or len(present) != len(truth):
        raise ValueError(f"{len(boxes)} boxes and {len(present)} flags for a sequence of {len(truth)} frames")
    broken = np.flatnonzero(~np.isfinite(boxes).all(axis=1))
    if len(broken):
        raise ValueError(f"box of frame {broken[0]} is not finite: {boxes[broken[0]].tolist()}")
    if not present.any():
        raise ValueError("no frame counts: the target is absent in all of them")
    boxes, truth = as_counted(boxes, truth, rules)
    measured = [
        metric(boxes[present], truth[present]) for metric in (overlaps, centre_errors, normalised_centre_errors)
    ]
    if rules.absent_counts:
        measured = [_with_absent(values, present) for values in measured]
    return Scores(*measured)


def _with_absent(values: np.ndarray, present: np.ndarray) -> np.ndarray:
    complete = np.full(len(present), -1, values.dtype)
    complete[present] = values
    return complete
