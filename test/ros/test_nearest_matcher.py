"""The matcher against a brute-force search, over many random streams."""

import random
import sys
import weakref

import numpy as np
import pytest

from tpf_ros.nearest_matcher import HORIZON, THERMAL, VISIBLE, NearestMatcher

MS = 1_000_000


class Frame:
    pass


def brute_force(visible: list[int], thermal: list[int], max_difference: int) -> set[tuple[int, int]]:
    """All pairs of stamps that are each other's nearest (the earlier of two) and near enough."""
    difference = np.abs(np.subtract.outer(visible, thermal))
    nearest_thermal, nearest_visible = difference.argmin(axis=1), difference.argmin(axis=0)
    mutual = [(i, j) for i, j in enumerate(nearest_thermal) if nearest_visible[j] == i]
    return {(visible[i], thermal[j]) for i, j in mutual if difference[i, j] <= max_difference}


def stream(rng: random.Random, rate: float, jitter: float, drops: float, phase: float, seconds: float) -> list[int]:
    """Stamps at `rate` Hz, each off by up to `jitter` of the period, a share `drops` of them missing."""
    period = 1e9 / rate
    moments = (k + phase + rng.uniform(-jitter, jitter) for k in range(int(seconds * rate)))
    stamps = [int(1e9 + period * moment) for moment in moments]
    return sorted(stamp for stamp in set(stamps) if rng.random() >= drops)


def arrivals(rng: random.Random, visible: list[int], thermal: list[int]) -> list[tuple[int, int]]:
    """(stream, stamp) in the order of arrival: each stream has its own delay, and delays vary."""
    events = []
    for which, stamps in ((VISIBLE, visible), (THERMAL, thermal)):
        delay, ready = rng.uniform(0, 80) * MS, 0
        for stamp in stamps:
            ready = max(ready, stamp + delay + rng.uniform(0, 15) * MS)
            events.append((ready, which, stamp))
    return [event[1:] for event in sorted(events)]


def run(matcher: NearestMatcher, events: list[tuple[int, int]]) -> list[tuple[int, int]]:
    pairs = []
    for which, stamp in events:
        if matcher.accepts(which, stamp):
            pairs += matcher.add(which, stamp, stamp)
    return pairs


def came_sooner_than_usual(stamps: list[int], frame: int) -> bool:
    """Whether the successor of `frame` came after less than every one of the 32 intervals before."""
    at = stamps.index(frame)
    known = [b - a for a, b in zip(stamps[:at], stamps[1 : at + 1])][-32:]
    return len(known) >= 8 and stamps[at + 1] - frame < min(known)


@pytest.mark.parametrize("seed", range(60))
def test_steady_rates_with_drops_pair_exactly_as_the_brute_force(seed):
    rng = random.Random(seed)
    rates = rng.choice([(30, 30), (30, 9), (9, 30), (30, 25), (60, 8.6), (15, 15), (29.97, 30)])
    visible, thermal = (stream(rng, rate, 0, rng.choice([0, 0.1, 0.4]), rng.random(), 6) for rate in rates)
    max_difference = rng.choice([5, 20, 60]) * MS
    matcher = NearestMatcher(max_difference)
    pairs = run(matcher, arrivals(rng, visible, thermal))
    expected = brute_force(visible, thermal, max_difference)
    waiting = {pair for pair in expected if max(pair) >= min(visible[-1], thermal[-1])}  # no later frame to prove them
    assert len(pairs) == len(set(pairs)) and set(pairs) <= expected
    assert expected - set(pairs) <= waiting
    assert pairs + matcher.finish() == sorted(expected)


@pytest.mark.parametrize("seed", range(100))
def test_random_streams_differ_from_the_brute_force_only_where_a_frame_came_sooner_than_any_before(seed):
    rng = random.Random(1000 + seed)
    visible, thermal = (
        stream(rng, rng.uniform(5, 60), rng.uniform(0, 0.45), rng.choice([0, 0, 0.1, 0.3]), rng.random(), 8)
        for _ in range(2)
    )
    max_difference = int(rng.uniform(1, 60) * MS)
    pairs = run(NearestMatcher(max_difference), arrivals(rng, visible, thermal))
    expected = brute_force(visible, thermal, max_difference)
    assert pairs == sorted(pairs) and len({v for v, _ in pairs}) == len({t for _, t in pairs}) == len(pairs)
    assert all(abs(v - t) <= max_difference for v, t in pairs)
    for v, t in set(pairs) - expected:
        assert came_sooner_than_usual(visible, v) if v <= t else came_sooner_than_usual(thermal, t)
    assert len(expected & set(pairs)) >= 0.98 * len(expected) - 2


@pytest.mark.parametrize("rates, at_once", [((30, 30), 1.0), ((30, 9), 0.9), ((9, 30), 0.9)])
def test_a_pair_comes_out_with_the_later_of_its_two_frames(rates, at_once):
    rng = random.Random(1)
    visible, thermal = (stream(rng, rate, 0.02, 0.05, phase, 20) for rate, phase in zip(rates, (0, 0.2)))
    matcher = NearestMatcher(20 * MS)
    delays = []  # of the first pairs too, while the rates are still unknown
    for stamp, which in sorted([(stamp, VISIBLE) for stamp in visible] + [(stamp, THERMAL) for stamp in thermal]):
        delays += [stamp - max(pair) for pair in matcher.add(which, stamp, stamp)]
    assert len(delays) > 150
    assert sum(delay == 0 for delay in delays[10:]) >= at_once * len(delays[10:])
    assert max(delays[10:]) <= 2 * 34 * MS  # otherwise with the next frame, or the one after if that was lost


def test_few_frames_are_held_while_the_other_camera_is_silent():
    matcher = NearestMatcher(20 * MS)
    frames = weakref.WeakSet()
    for k in range(100):
        frame = Frame()
        frames.add(frame)
        matcher.add(VISIBLE, 1 + k * 33 * MS, frame)
    del frame
    assert len(frames) == 2 + HORIZON // (33 * MS)


def test_work_per_frame_does_not_grow():
    """Steps are counted, not timed: lines executed in the matcher per frame, early and late in a long stream."""
    matcher, lines = NearestMatcher(20 * MS), []

    def tracer(frame, event, _):
        lines[-1] += event == "line"
        return tracer if frame.f_code.co_filename.endswith("nearest_matcher.py") else None

    sys.settrace(tracer)
    try:
        for k in range(3000):
            lines.append(0)
            matcher.add(VISIBLE, 1 + k * 33 * MS, None)
            if k % 3 == 0:
                matcher.add(THERMAL, 5 * MS + k * 33 * MS, None)
    finally:
        sys.settrace(None)
    assert sum(lines[2700:]) <= sum(lines[300:600]) * 1.05
