"""Look-alikes that meet the target: when the box is found to have gone on with one of them."""

import cv2
import numpy as np
import pytest
from tpf_model.boxes import iou
from tpf_model.camera_motion import Motion
from tpf_model.crop import Crop
from tpf_model.rivals import Rivals, peaks_of

SIDES = 40, 50
HIDDEN = range(18, 33)  # the frames in which two that pass are less than three quarters of a width apart


def passing(frame, camera=0):
    """Target and rival, towards each other, each at its speed."""
    return (240 + (2 + camera) * frame, 200, *SIDES), (340 + (camera - 2) * frame, 204, *SIDES)


def peak(box, score=0.5):
    return score, np.array((box[0] + box[2] / 2, box[1] + box[3] / 2))


def exchange(
    paths,
    in_front,
    hidden=HIDDEN,
    frames=60,
    patience=60,
    also=None,
    score=0.5,
    jitter=0.0,
    doubt=(),
    rivals=Rivals,
    looks=(None, None),
):
    """The frame and the box that `Rivals` gives first, for a tracker that goes on with who is `in_front`.

    paths: target's and rival's box in a frame. in_front: 0 or 1 of them, the only one to be seen while `hidden`. also:
    the boxes of others in a frame. score: of all that the tracker is not on, which has 0.5. doubt: frames in which the
    target is not seen, and its box held. rivals: what observes. looks: how much both look like the target.
    """
    random = np.random.default_rng(0)
    box = paths(0)[0]
    rivals, on = rivals(box), 0
    for frame in range(1, frames):
        boxes = paths(frame)
        on = in_front if frame in hidden else on
        box = box if frame in doubt else boxes[on]
        peaks = [] if frame in doubt else [peak(boxes[on])]
        peaks += [] if frame in hidden else [peak(boxes[1 - on], score)]
        peaks += [peak(other, score) for other in also(frame)] if also else []
        peaks = [(value, where + random.normal(0, jitter, 2)) for value, where in peaks]
        target = rivals.observe(box, 0.5, frame not in doubt, peaks, patience, likeness(boxes, looks))
        if target is not None:
            return frame, target
    return None


def likeness(boxes, looks):
    def of(place):
        away = [np.linalg.norm(place - peak(box)[1]) for box in boxes]
        return looks[int(np.argmin(away))]

    return of


def turning_back(frame):
    """The target turns while it is hidden, and leaves its rival behind; that has become larger."""
    target, rival = passing(frame)
    return (target[0] if frame < 25 else 290 - 4 * (frame - 25), *target[1:]), (rival[0] - 10, rival[1] - 15, 60, 75)


def test_a_target_that_turned_back_behind_its_rival_is_found_by_its_looks():
    assert exchange(turning_back, in_front=1, frames=80) is None
    assert exchange(turning_back, in_front=1, frames=80, looks=(0.3, 0.3)) is None
    frame, box = exchange(turning_back, in_front=1, frames=80, looks=(0.4, 0.2))
    assert frame < 60 and peak(box)[1] == pytest.approx(peak(turning_back(frame)[0])[1])
    frame, box = exchange(turning_back, in_front=1, frames=80, looks=(0.8, 0.1))
    assert box == pytest.approx(turning_back(frame)[0])  # so soon after they met it has the size that it had


def beside(looks, score=0.5, believed=True, every=1, unlike=0):
    """After how many of 30 frames a box goes to what stands beside it, and looks otherwise in the `unlike` ones before.

    looks: how much those look like the target. score: of what is beside it, seen in `every` so many frames.
    """
    rivals, boxes = Rivals((100, 100, *SIDES)), ((100, 100, *SIDES), (160, 100, *SIDES))
    for frame in range(1 - unlike, 31):
        peaks = [peak(boxes[0])] + ([peak(boxes[1], score)] if frame % every == 0 else [])
        now = looks if frame > 0 else (0.5, 0.1)
        if rivals.observe(boxes[0], 0.5, believed, peaks, 60, likeness(boxes, now)) == boxes[1]:
            return frame
    return None


def test_the_more_it_looks_like_the_target_the_sooner_that_is_certain():
    slow, fast = beside((0.3, 0.4)), beside((0.2, 0.4))
    assert 3 < fast < slow < 20
    assert beside((0.0, 0.4)) == beside((-0.1, 0.4)) > 1  # what looks like nothing at all is no proof by itself


def test_only_where_it_is_seen_it_counts():
    assert beside((0.2, 0.4), every=4) == 4 * beside((0.2, 0.4))


def test_what_was_another_for_long_must_look_like_the_target_for_longer_but_not_for_ever():
    assert beside((0.2, 0.4)) < beside((0.2, 0.4), unlike=20) == beside((0.2, 0.4), unlike=200) < 12


@pytest.mark.parametrize(
    "case",
    [
        {"looks": (0.4, 0.3)},
        {"looks": (None, 0.4)},
        {"looks": (0.2, None)},
        {"looks": (0.2, 0.4), "believed": False},
        {"looks": (0.2, 0.4), "score": 0.25},
    ],
    ids=["the other way round", "of the box unknown", "of the rival unknown", "the target is hidden", "faint"],
)
def test_what_stands_beside_the_target_is_not_taken_for_it(case):
    assert beside(**case) is None


def mirrored(paths, frames):
    """Who is to be seen in `frames` where the target is if the box is on the rival; but it is on the target."""

    def also(frame):
        target, rival = paths(frame)
        return [(2 * target[0] - rival[0], 2 * target[1] - rival[1], *SIDES)] if frame in frames else []

    return also


@pytest.mark.parametrize("camera", [0, 3, -4], ids=["still", "panning with", "panning against"])
@pytest.mark.parametrize("jitter", [0, 3])
def test_a_target_that_comes_out_behind_its_rival_is_found(camera, jitter):
    frame, box = exchange(lambda frame: passing(frame, camera), in_front=1, jitter=jitter)
    assert frame < 40
    assert iou(box, passing(frame, camera)[0]) > (0.7 if jitter else 0.95)


def shaken(told):
    """The IoU of the box that is given for a camera that is shaken, turns and zooms; `told`: whether `Rivals` is."""
    random = np.random.default_rng(3)
    views = []
    for _ in range(60):
        view = cv2.getRotationMatrix2D((300, 220), random.normal(0, 3), random.normal(1, 0.03))
        view[:, 2] += random.normal(0, 20, 2)
        views.append(Motion(view))

    class Shaken(Rivals):
        def observe(self, *seen):
            if told:
                before, now = (np.vstack((views[self._frame + later].matrix, (0, 0, 1))) for later in (0, 1))
                self.move(Motion((now @ np.linalg.inv(before))[:2]))
            return super().observe(*seen)

    found = exchange(lambda frame: tuple(map(views[frame].box, passing(frame))), in_front=1, rivals=Shaken)
    return None if found is None else iou(found[1], views[found[0]].box(passing(found[0])[0]))


def test_of_a_camera_that_is_shaken_it_must_be_told():
    assert shaken(told=False) is None
    assert shaken(told=True) > 0.9


def test_it_has_the_size_that_it_had():
    def paths(frame):
        target, rival = passing(frame)
        return target, (rival[0] - 10, rival[1] - 15, 60, 75)

    assert exchange(paths, in_front=1)[1][2:] == SIDES


def test_a_target_that_hid_its_rival_is_kept():
    assert exchange(passing, in_front=0) is None


def test_after_too_long_it_no_longer_matters():
    assert exchange(passing, in_front=1, patience=10) is None


def test_a_much_fainter_peak_is_not_the_target():
    assert exchange(passing, in_front=1, score=0.25) is None


def test_a_rival_that_turns_back_is_not_the_target():
    def paths(frame):
        return passing(0)[0], passing(min(frame, 48 - frame))[1]

    assert exchange(paths, in_front=0, hidden=range(18, 31)) is None


def test_a_rival_that_passes_in_sight_is_not_the_target():
    def paths(frame):
        target, rival = passing(frame)
        return target, (rival[0], rival[1] + 55, *SIDES)

    assert exchange(paths, in_front=0, hidden=()) is None


def test_who_stood_there_all_along_is_not_the_target():
    """The rival hides the target for good; where it might come out there is someone already."""
    bystander = (326, 155, *SIDES)
    gone = {"in_front": 1, "hidden": range(18, 100), "frames": 60}
    assert exchange(passing, **gone, also=lambda frame: [bystander]) is None
    assert exchange(passing, **gone, also=lambda frame: [bystander] if frame > 30 else []) is not None


def test_a_flash_where_the_target_would_come_out_is_not_the_target():
    gone = {"in_front": 1, "hidden": range(18, 100)}
    assert exchange(passing, **gone, also=lambda frame: [passing(frame)[0]] if frame in (40, 41) else []) is None
    assert exchange(passing, **gone, also=lambda frame: [passing(frame)[0]] if frame in (40, 41, 42) else [])


def test_where_the_rival_is_seen_to_go_on_no_other_is_the_target():
    assert exchange(passing, in_front=0, also=mirrored(passing, range(33, 60))) is None


def test_a_box_that_goes_on_along_the_target_s_line_is_kept_though_the_rival_is_not_seen_again():
    also = mirrored(passing, range(33, 60))
    assert exchange(passing, in_front=0, hidden=range(18, 60), also=also) is None


def test_who_appears_while_the_rival_has_not_passed_is_not_the_target():
    def paths(frame):
        target = passing(frame)[0]
        return target, (target[0] + 35, *target[1:])

    assert exchange(paths, in_front=0, hidden=range(18, 60), also=mirrored(paths, range(22, 60))) is None


@pytest.mark.parametrize("away", [(0, 55), (40, 0)], ids=["beside the target", "long before"])
def test_a_rival_that_vanished_elsewhere_did_not_meet_the_target(away):
    def paths(frame):
        target, rival = passing(frame)
        return target, (rival[0] + away[0], rival[1] + away[1], *SIDES)

    assert exchange(paths, in_front=0, hidden=range(15, 80), also=mirrored(paths, range(45, 80)), frames=80) is None


def test_how_both_moved_long_ago_does_not_matter():
    def paths(frame):
        return passing(max(frame - 200, -12))

    frame, box = exchange(paths, in_front=1, hidden=range(218, 233), frames=260)
    assert iou(box, paths(frame)[0]) > 0.95


def test_a_box_that_is_not_believed_is_not_where_the_target_is():
    assert exchange(lambda frame: passing(frame, 6), in_front=1, doubt=range(11, 18)) is not None


def test_what_flickers_beside_the_target_is_not_a_rival():
    """A peak that was seen in few frames has no line to go on along."""
    rivals, box = Rivals(passing(0)[0]), passing(0)[0]
    for frame in range(1, 60):
        near = [(box[0] + side * 32, *box[1:]) for side in (-1, 1) if (frame // 4) % 2 == (side > 0)]
        assert rivals.observe(box, 0.5, True, [peak(other) for other in (box, *near)], 60, lambda place: None) is None


def test_who_wanders_is_not_predicted():
    def paths(frame):
        target, rival = passing(frame)
        return target, (rival[0], rival[1] + 15 * np.sin(frame / 2), *SIDES)

    assert exchange(paths, in_front=1) is None


def test_a_peak_is_placed_between_its_cells():
    scores = np.zeros((16, 16), np.float32)
    scores[4, 6], scores[4, 7] = 0.5, 0.499
    scores[10, 10] = 0.1  # too low
    ((score, place),) = peaks_of(scores, Crop(100.0, 50.0, 160.0, 256))
    assert score == 0.5
    assert place == pytest.approx((100 + 70, 50 + 45), abs=0.1)  # cells are 10 px wide
