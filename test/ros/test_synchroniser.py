"""The synchroniser on simulated cameras, whose true moments of capture are known: right pairs are counted."""

import random
from dataclasses import dataclass, replace

import pytest

from tpf_ros.nearest_matcher import NearestMatcher
from tpf_ros.synchroniser import Pair, Synchroniser, open_synchroniser

MS = 1_000_000
S = 1_000 * MS
EPOCH = 1_700_000_000 * S


@dataclass(frozen=True)
class Shot:
    """One message: camera, true moment of capture (ns from 0), stamp, and steady time of arrival."""

    camera: str
    capture: int
    stamp: int
    arrival: int


def camera(name, rate=30.0, seconds=20.0, start=0.0, phase=0.0, jitter=1.0, clock_error=0, delay=8.0) -> list[Shot]:
    """A camera with `jitter` and `delay` in ms and its clock off by `clock_error` ns; `phase` in periods."""
    rng = random.Random(name)
    shots = []
    for k in range(int(start * rate), int(seconds * rate)):
        capture = int((k / rate + phase / rate) * S + rng.uniform(-jitter, jitter) * MS)
        arrival = capture + int((delay + rng.uniform(0, 4)) * MS)
        shots.append(Shot(name, capture, EPOCH + capture + clock_error, arrival))
    return shots


def play(synchroniser: Synchroniser, *cameras: list[Shot]) -> list[Pair]:
    out = []
    for shot in sorted((shot for shots in cameras for shot in shots), key=lambda shot: shot.arrival):
        add = synchroniser.add_visible if shot.camera == "visible" else synchroniser.add_thermal
        out += add(shot.stamp, shot, shot.arrival)
    numbers = [(pair.visible or pair.thermal).arrival for pair in out]
    assert numbers == sorted(numbers)
    return out


def pairs_of(out: list[Pair]) -> list[Pair]:
    return [pair for pair in out if pair.visible and pair.thermal]


def count_right(out: list[Pair], visible: list[Shot], thermal: list[Shot]) -> int:
    """Pairs whose images were each other's nearest in truth."""
    right = 0
    for pair in pairs_of(out):
        v, t = pair.visible.capture, pair.thermal.capture
        nearest = min(abs(shot.capture - t) for shot in visible), min(abs(shot.capture - v) for shot in thermal)
        right += abs(v - t) == nearest[0] == nearest[1]
    return right


def nearest(offset=0, max_difference=20 * MS) -> Synchroniser:
    return open_synchroniser("nearest", max_difference, offset, alone_after=500 * MS)


def test_equal_rates_pair_completely():
    visible, thermal = camera("visible"), camera("thermal", phase=0.2, delay=20)
    synchroniser = nearest()
    out = play(synchroniser, visible, thermal)
    assert count_right(out, visible, thermal) == len(out) == synchroniser.visible.paired == 600
    assert all(pair.difference == pair.thermal_stamp - pair.visible_stamp for pair in out)
    assert synchroniser.visible.unpaired == synchroniser.thermal.unpaired == 0


@pytest.mark.parametrize("error", [40 * MS, -40 * MS, 3 * S])
def test_thermal_clock_off_with_its_offset_given(error):
    visible, thermal = camera("visible"), camera("thermal", phase=0.2, delay=20, clock_error=error)
    out = play(nearest(offset=-error), visible, thermal)
    assert count_right(out, visible, thermal) == len(out) == 600
    assert out[0].thermal_stamp == thermal[0].stamp
    assert abs(out[0].difference) < 10 * MS


@pytest.mark.parametrize("error", [40 * MS, -3600 * S])
def test_thermal_clock_off_without_its_offset_is_told_by_the_suggestion(error):
    visible, thermal = camera("visible", rate=9), camera("thermal", rate=9, delay=20, clock_error=error)
    synchroniser = nearest()
    out = play(synchroniser, visible, thermal)
    assert pairs_of(out) == []
    assert synchroniser.thermal.unpaired == len(thermal)
    assert abs(synchroniser.suggested_offset() + error) < 20 * MS  # the cameras' delays differ by 12 ms
    # The tracker goes on with the visible camera meanwhile.
    assert len(out) == synchroniser.visible.alone == len(visible)
    offset = synchroniser.suggested_offset()
    assert count_right(play(nearest(offset=offset), visible, thermal), visible, thermal) == len(visible)


def test_thermal_clock_off_by_more_than_a_period_pairs_neighbours_and_suggests_the_offset():
    visible, thermal = camera("visible"), camera("thermal", delay=8, clock_error=40 * MS)
    synchroniser = nearest()
    out = play(synchroniser, visible, thermal)
    assert len(pairs_of(out)) > 590 and count_right(out, visible, thermal) == 0  # stamps alone cannot tell
    assert abs(synchroniser.suggested_offset() + 40 * MS) < 5 * MS


@pytest.mark.parametrize("phase", [0.0, 0.1, 0.45])
def test_30_and_9_hz_give_each_thermal_frame_its_nearest_visible(phase):
    visible, thermal = camera("visible"), camera("thermal", rate=9, phase=phase, delay=15)
    synchroniser = nearest()
    out = play(synchroniser, visible, thermal)
    assert count_right(out, visible, thermal) == len(out) >= len(thermal) - 1
    assert synchroniser.visible.unpaired == len(visible) - len(out)


@pytest.mark.parametrize("phase", [0.0, -0.01, 0.01])
def test_slow_cameras_pair_completely(phase):
    visible, thermal = camera("visible", rate=1), camera("thermal", rate=1, phase=phase, delay=15)
    out = play(open_synchroniser("nearest", 20 * MS, 0, alone_after=2500 * MS), visible, thermal)
    assert count_right(out, visible, thermal) == len(out) >= 19


def test_a_looped_bag_pairs_in_every_round():
    visible, thermal = camera("visible", seconds=5), camera("thermal", phase=0.2, delay=40, seconds=5)
    synchroniser = nearest()
    rounds = [
        [replace(shot, arrival=shot.arrival + k * 5 * S) for k in range(4) for shot in shots]
        for shots in (visible, thermal)
    ]
    out = play(synchroniser, *rounds)
    assert count_right(out, visible, thermal) == len(out) == 4 * 150 - 3  # thermal's last of a round comes too late
    assert synchroniser.restarts == 2 * 3


@pytest.mark.parametrize("jump, lost", [(-3600 * S, 1), (-2 * S, 1), (3600 * S, 2), (700 * MS, 2), (-100 * MS, 4)])
def test_a_clock_that_jumps(jump, lost):
    """The computer's clock is set at 10 s: frames captured later have new stamps."""
    cameras = camera("visible"), camera("thermal", phase=0.2, delay=40)
    visible, thermal = (
        [replace(shot, stamp=shot.stamp + jump * (shot.capture > 10 * S)) for shot in shots] for shots in cameras
    )
    out = play(nearest(), visible, thermal)
    assert count_right(out, visible, thermal) == len(out) >= 600 - lost


def test_one_camera_clock_that_falls_back_leaves_the_visible_camera_and_pairs_again_when_set_right():
    visible, thermal = camera("visible"), camera("thermal")
    thermal = [replace(shot, stamp=shot.stamp - 60 * S * (5 * S < shot.capture < 12 * S)) for shot in thermal]
    out = play(nearest(), visible, thermal)
    assert count_right(out, visible, thermal) == len(pairs_of(out)) >= 600 - 7 * 30 - 3
    assert len(out) >= 600 - 15 - 3


@pytest.mark.parametrize("late", ["visible", "thermal"])
@pytest.mark.parametrize("delay", [2, 60])
def test_one_camera_ten_seconds_late(late, delay):
    early = "thermal" if late == "visible" else "visible"
    shots = {early: camera(early), late: camera(late, start=10, delay=delay)}
    out = play(nearest(), *shots.values())
    assert len(out) - len(pairs_of(out)) == pytest.approx(300, abs=4)
    assert count_right(out, shots["visible"], shots["thermal"]) == len(pairs_of(out)) >= 300 - 3


@pytest.mark.parametrize("silent", ["visible", "thermal"])
@pytest.mark.parametrize("delay", [2, 60])
@pytest.mark.parametrize("error", [0, -3 * S, 3 * S])
def test_a_camera_that_falls_silent_and_comes_back(silent, delay, error):
    other = "thermal" if silent == "visible" else "visible"
    errors, delays = {"visible": 0, "thermal": error}, {silent: delay, other: 8}
    shots = {name: camera(name, clock_error=errors[name], delay=delays[name]) for name in errors}
    shots[silent] = [shot for shot in shots[silent] if not 5 * S < shot.capture < 12 * S]
    synchroniser = nearest(offset=-error)
    out = play(synchroniser, *shots.values())
    lone = [pair for pair in out if not (pair.visible and pair.thermal)]
    assert all(getattr(pair, silent) is None for pair in lone)
    assert len(lone) == pytest.approx(7 * 30, abs=3)
    assert count_right(out, shots["visible"], shots["thermal"]) == len(pairs_of(out)) >= 600 - 210 - 3
    assert getattr(synchroniser, other).alone == len(lone)


def test_after_half_a_second_alone_the_frames_that_waited_come_out_and_then_each_when_it_arrives():
    shots, synchroniser = camera("visible"), nearest()
    out = [synchroniser.add_visible(shot.stamp, shot, shot.arrival) for shot in shots]
    first = next(k for k, ready in enumerate(out) if ready)
    assert shots[first - 1].arrival - shots[0].arrival <= 500 * MS < shots[first].arrival - shots[0].arrival
    assert [pair.visible for pair in out[first]] == shots[: first + 1]
    assert [[pair.visible for pair in ready] for ready in out[first + 1 :]] == [[shot] for shot in shots[first + 1 :]]


def test_few_frames_are_held_however_long_they_may_wait():
    synchroniser = open_synchroniser("nearest", 20 * MS, 0, alone_after=10 * S)
    out = play(synchroniser, camera("visible"))
    assert len(out) == synchroniser.visible.alone == pytest.approx(32 + 300, abs=3)


@pytest.mark.parametrize("seen", ["the oldest", "the newest"])
def test_frames_that_wait_come_out_at_once_for_who_has_seen_one_and_not_again(seen):
    visible, thermal = camera("visible", jitter=0), camera("thermal", jitter=0, delay=60)
    synchroniser = nearest()
    early = visible[:2]  # the thermal images of their moments are on the way
    for shot in early:
        assert synchroniser.add_visible(shot.stamp, shot, shot.arrival) == []
    now = early[-1].arrival
    assert synchroniser.let_out(early[0].stamp - 1, now) == [], "that one is in the past"
    assert synchroniser.let_out(early[-1].stamp + 10 * S, now) == [], "that one is by a clock that is ahead"
    stamp = early[0].stamp if seen == "the oldest" else 0
    assert [pair.visible for pair in synchroniser.let_out(stamp, now)] == early
    assert synchroniser.let_out(stamp, now) == []
    out = play(synchroniser, visible[2:], thermal)
    assert count_right(out, visible, thermal) == len(out) == len(visible) - 2


def test_thermal_frames_wait_in_the_shadow_of_visible_ones_and_keep_the_order_when_those_end():
    """The clocks have nothing in common; the thermal one is behind."""
    visible, thermal = camera("visible", seconds=5), camera("thermal", clock_error=-40 * MS, jitter=0)
    visible = [replace(shot, stamp=shot.stamp + 10 * MS) for shot in visible]
    out = play(nearest(max_difference=MS // 10), visible, thermal)
    stamps = [pair.thermal_stamp if pair.visible is None else pair.visible_stamp for pair in out]
    assert stamps == sorted(set(stamps))
    assert len(out) >= 600 - 4 and {pair.visible for pair in out} - {None} == set(visible)


def test_a_pause_of_both_cameras_lets_no_frame_out_alone():
    visible, thermal = (
        [shot for shot in camera(name) if not 4.99 * S < shot.capture < 8.01 * S] for name in ("visible", "thermal")
    )
    out = play(nearest(), visible, thermal)
    assert count_right(out, visible, thermal) == len(out) == len(visible)


def test_repeated_and_swapped_frames_and_zero_stamps_are_refused_and_counted():
    visible, thermal = camera("visible", jitter=0), camera("thermal", delay=20, jitter=0)
    visible[100], visible[101] = (
        replace(visible[100], arrival=visible[101].arrival),
        replace(visible[101], arrival=visible[100].arrival),
    )
    again = [replace(shot, arrival=shot.arrival + MS) for shot in thermal[200:250]]
    unset = [replace(shot, stamp=0, arrival=shot.arrival + MS) for shot in visible[300:310]]
    synchroniser = nearest()
    out = play(synchroniser, visible, thermal, again, unset)
    assert count_right(out, visible, thermal) == len(out) == 599
    assert (synchroniser.duplicates, synchroniser.out_of_order, synchroniser.restarts) == (50, 1, 0)
    assert (synchroniser.visible.bad_stamp, synchroniser.visible.refused, synchroniser.thermal.refused) == (10, 1, 50)
    assert (synchroniser.visible.received, synchroniser.visible.paired, synchroniser.visible.unpaired) == (610, 599, 0)


def test_a_camera_without_stamps_leaves_the_other_alone():
    thermal = [replace(shot, stamp=0) for shot in camera("thermal")]
    out = play(nearest(), camera("visible"), thermal)
    assert pairs_of(out) == [] and len(out) >= 580
    frozen = [replace(shot, stamp=EPOCH) for shot in camera("visible")]
    out = play(nearest(), frozen, camera("thermal"))
    assert pairs_of(out)[1:] == [] and len([pair for pair in out if pair.thermal]) >= 580


def test_a_lost_frame_costs_its_own_pair_only():
    visible, thermal = camera("visible"), camera("thermal", phase=0.2)
    del visible[50:400:7], thermal[53:400:7]
    out = play(nearest(), visible, thermal)
    assert count_right(out, visible, thermal) == len(out) == 600 - 50 - 50


def test_the_suggestion_is_of_the_clocks_as_they_are():
    """Both cameras' clocks fall back by an hour, the thermal one two seconds later."""
    cameras = camera("visible"), camera("thermal", clock_error=40 * MS)
    fallen = [
        [replace(shot, stamp=shot.stamp - 3600 * S * (shot.capture > when)) for shot in shots]
        for shots, when in zip(cameras, (17 * S, 19 * S))
    ]
    synchroniser = nearest()
    play(synchroniser, *fallen)
    assert abs(synchroniser.suggested_offset() + 40 * MS) < 5 * MS


def test_suggested_offset_needs_both_cameras():
    synchroniser = Synchroniser(NearestMatcher(20 * MS))
    assert synchroniser.suggested_offset() is None
    synchroniser.add_visible(EPOCH, None, 0)
    assert synchroniser.suggested_offset() is None
