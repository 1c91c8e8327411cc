"""The worker's thread over a real, untrained model, with passes that take as long as the test lets them."""

import itertools
import threading
import time
from collections import deque
from contextlib import contextmanager

import numpy as np
import pytest
import torch

from tpf_model.appearance import Appearance
from tpf_model.frame import Frame
from tpf_model.registration import Registration
from tpf_model.runtime import open_session
from tpf_model.tracker import State
from tpf_ros.frame_buffer import FrameBuffer
from tpf_ros.modality_health import Health
from tpf_ros.parameters import Settings
from tpf_ros.worker import Source, Worker

BOX = (30.0, 30.0, 20.0, 20.0)
GOOD = (Health.OK, Health.OK)
SETTINGS = Settings.from_values({"tracker.coast_score": 0.0, "output.timeout": 0.1})
PATIENT = Settings.from_values({"tracker.coast_score": 0.0, "output.timeout": 60.0})
PERIOD = 50_000_000


def unbelieving(patience):
    """Settings with which the box is held, and lost after `patience` frames."""
    scores = {"tracker.coast_score": 1.0, "tracker.recover_score": 1.0}
    never = {"tracker.filter_trust": 9.0}
    return Settings.from_values({**scores, **never, "tracker.lost_after": patience, "output.timeout": 0.1})


class Gate:
    """A real session whose every pass in tracking waits for `open`; `entered` counts those begun.

    That in which `init` looks at its own frame, without an appearance, is none of them.
    """

    def __init__(self, session):
        self._session = session
        self.open, self.entered, self.broken = threading.Event(), threading.Semaphore(0), False
        self.first_look_fails, self.delay = False, 0.0
        self.filters = []
        self.open.set()

    def __getattr__(self, name):
        return getattr(self._session, name)

    def locate(self, *arguments):
        time.sleep(self.delay)
        if not isinstance(arguments[-1], Appearance):
            if self.first_look_fails:
                raise RuntimeError("out of memory")
            return self._session.locate(*arguments)
        self.filters.append(arguments[-1].correlation_filter.transfer)
        self.entered.release()
        assert self.open.wait(60)
        if self.broken:
            raise RuntimeError("out of memory")
        return self._session.locate(*arguments)


@pytest.fixture(scope="module")
def session():
    return open_session("tiny", "cpu", weights="random")


class Bench:
    """A worker with its buffer, fed by the test; results come back in `results`."""

    def __init__(self, session):
        self.gate = Gate(session)
        self.buffer = FrameBuffer(10**10)
        self.results, self.reports = deque(), []
        self.health = GOOD
        self._arrived = threading.Condition()
        arguments = self.gate, SETTINGS, Registration.identity(), self.buffer
        self.worker = Worker(*arguments, lambda: self.health, self._publish, self.reports.append)
        self._number = 0

    def _publish(self, result):
        with self._arrived:
            self.results.append(result)
            self._arrived.notify_all()

    def add(self, health=GOOD, size=(96, 96), visible=True, scene=None):
        """Put a frame into buffer and mailbox; its stamp is its number times PERIOD, its scene one of its own."""
        self._number += 1
        rng = np.random.default_rng(self._number if scene is None else scene)
        image = rng.integers(0, 255, (size[1], size[0], 3), np.uint8) if visible else None
        frame = Frame(image, rng.integers(0, 255, (96, 96), np.uint8), size)
        stamp = self._number * PERIOD
        seen = self.buffer.append(frame, stamp, stamp, Source(self._number, "visible", 0, health))
        self.worker.offer(seen)
        return seen

    def wait(self, condition):
        """The first result, not seen before, that meets the condition; those before it are passed over."""
        deadline = time.monotonic() + 60  # of all of it: results that do not meet the condition may come for ever
        with self._arrived:
            while True:
                while self.results:
                    if condition(result := self.results.popleft()):
                        return result
                assert self._arrived.wait(max(0, deadline - time.monotonic())), "no such result"

    def wait_for(self, seen):
        return self.wait(lambda result: result.seen is seen and not result.stale)

    def track(self):
        """With a target, and the thread at rest."""
        seen = self.add()
        self.wait_for(seen)
        self.worker.init(seen, BOX, 1)
        self.wait(lambda result: result.id == 1)


@pytest.fixture
def bench(session):
    bench = Bench(session)
    bench.worker.start()
    yield bench
    bench.gate.open.set()
    bench.worker.stop()


def test_the_newest_frame_wins_and_the_others_are_counted(bench):
    bench.track()
    bench.gate.open.clear()
    first = bench.add()
    assert bench.gate.entered.acquire(timeout=60)
    for _ in range(5):
        newest = bench.add()
    bench.gate.open.set()
    assert bench.wait_for(first).state is State.TRACKING
    assert bench.wait(lambda result: not result.stale).seen is newest
    assert (bench.worker.processed, bench.worker.dropped) == (3, 4)


def test_a_frame_counts_for_the_time_since_the_one_that_was_processed_before(bench):
    bench.track()
    bench.wait_for(bench.add(scene=1))
    assert bench.gate.entered.acquire(timeout=60)
    bench.gate.open.clear()
    bench.add(scene=1)
    assert bench.gate.entered.acquire(timeout=60)
    newest = [bench.add(scene=1) for _ in range(10)][-1]
    bench.gate.open.set()
    bench.wait_for(newest)
    bench.wait_for(bench.add(scene=1))
    first, second, third = (torch.dist(*pair) for pair in itertools.pairwise(bench.gate.filters))
    assert third > 4 * first and third > 4 * second, "nine frames passed before the third"


def test_a_past_frame_is_initialised_on_and_followed_to_the_newest(bench):
    frames = [bench.add() for _ in range(30)]
    bench.wait_for(frames[-1])
    bench.worker.init(frames[2], BOX, 7)
    first = bench.wait(lambda result: result.id == 7)
    assert first.seen is frames[2] and first.box == BOX
    followed = [first.seen.stamp]
    while followed[-1] < frames[-1].stamp:
        result = bench.wait(lambda result: not result.stale)
        assert result.id == 7
        followed.append(result.seen.stamp)
    assert followed == sorted(set(followed)) and followed[-1] == frames[-1].stamp
    bench.add()
    assert bench.wait(lambda result: not result.stale).seen.stamp > frames[-1].stamp, "and goes on from there"


def test_catching_up_takes_longer_steps_the_slower_the_model_is(bench):
    frames = [bench.add() for _ in range(200)]  # 10 s
    bench.wait_for(frames[-1])
    bench.gate.open.clear()
    bench.worker.init(frames[0], BOX, 1)
    bench.wait(lambda result: result.id == 1)
    assert bench.gate.entered.acquire(timeout=60)
    time.sleep(0.5)  # this pass takes half a second and more: 20 frames at double speed
    bench.gate.open.set()
    slow = bench.wait(lambda result: not result.stale)
    after = bench.wait(lambda result: not result.stale)
    assert after.seen.stamp - slow.seen.stamp >= 20 * PERIOD


@contextmanager
def cameras(bench, interval):
    """Frames whose stamps are PERIOD apart, one every so many seconds."""
    stop = threading.Event()

    def feed():
        while not stop.wait(interval):
            bench.add()

    feeder = threading.Thread(target=feed)
    feeder.start()
    yield
    stop.set()
    feeder.join()


def test_a_model_that_is_slower_than_the_cameras_takes_new_settings(bench):
    bench.track()
    bench.gate.delay = 4 * PERIOD * 1e-9
    with cameras(bench, PERIOD * 1e-9):
        bench.worker.init(bench.buffer.find(0), BOX, 2)
        bench.wait(lambda result: result.id == 2)
        time.sleep(1)
        bench.worker.apply(unbelieving(0), Registration.identity())
        bench.wait(lambda result: result.state is State.LOST)


def test_where_stamps_run_faster_than_time_a_new_target_does_not_stay_behind(bench):
    bench.track()
    bench.gate.delay = 0.02
    with cameras(bench, PERIOD * 1e-9 / 6):
        bench.worker.init(bench.buffer.find(0), BOX, 2)
        bench.wait(lambda result: result.id == 2)
        time.sleep(3)
        bench.results.clear()
        newest = bench.wait(lambda result: not result.stale).seen.time
        assert bench.buffer.find(0).time - newest < 3 * 10**9


def test_a_target_that_is_given_while_both_cameras_are_silent_is_not_seen(bench):
    bench.track()
    bench.health = (Health.SILENT, Health.SILENT)
    bench.worker.init(bench.buffer.find(0), BOX, 2)
    given = bench.wait(lambda result: result.id == 2)
    assert (given.state, given.box, given.score, given.health) == (State.ERROR, BOX, 0, bench.health)
    bench.health = GOOD
    assert bench.wait_for(bench.add()).state is State.TRACKING


def test_the_last_of_several_requests_counts(bench):
    bench.track()
    bench.gate.open.clear()
    seen = bench.add()
    assert bench.gate.entered.acquire(timeout=60)
    bench.worker.init(seen, BOX, 2)
    bench.worker.reset()
    bench.worker.init(seen, (10.0, 10.0, 30.0, 30.0), 3)
    bench.gate.open.set()
    assert bench.wait_for(seen).id == 1
    assert bench.wait(lambda result: not result.stale).id == 3


def test_an_error_of_the_model_is_one_bad_result(bench):
    bench.track()
    bench.gate.broken = True
    failed = bench.wait_for(bench.add())
    assert failed.state is State.ERROR and failed.box == BOX and failed.score == 0
    assert bench.worker.failed == 1 and "out of memory" in bench.reports[0]
    bench.gate.broken = False
    assert bench.wait_for(bench.add()).state is State.TRACKING


def test_a_failed_initialisation_leaves_no_target_and_loses_no_settings(bench):
    bench.track()
    bench.gate.open.clear()
    seen = bench.add()
    assert bench.gate.entered.acquire(timeout=60)
    bench.gate.first_look_fails = True
    bench.worker.init(seen, BOX, 2)
    bench.worker.apply(PATIENT, Registration.identity())
    bench.gate.open.set()
    bench.wait(lambda result: result.state is State.ERROR and result.id == 2)
    assert bench.worker.failed == 1 and "out of memory" in bench.reports[0]
    assert bench.wait_for(bench.add()).state is State.IDLE
    time.sleep(0.5)
    bench.results.clear()
    time.sleep(2 * SETTINGS.output.timeout)
    assert not bench.results, "the new, longer timeout counts"


def test_in_images_of_another_size_the_target_goes_on(bench):
    bench.track()
    wide = bench.wait_for(bench.add(size=(192, 144)))
    assert (wide.state, wide.id) == (State.TRACKING, 1)
    assert wide.score < 1, "the target is looked for, not taken to be where it was"
    assert bench.wait_for(bench.add(size=(192, 144))).state is State.TRACKING
    assert bench.worker.failed == 0


@pytest.mark.parametrize(("patience", "state"), [(9, State.COASTING), (0, State.LOST)])
def test_what_is_not_believed_is_no_more_so_in_images_of_another_size(bench, patience, state):
    bench.worker.apply(unbelieving(patience), Registration.identity())
    bench.track()
    assert bench.wait_for(bench.add()).state is state
    wide = bench.wait_for(bench.add(size=(192, 144)))
    assert (wide.state, wide.box) == (state, (60.0, 45.0, 40.0, 30.0))
    assert bench.worker.failed == 0


@pytest.mark.parametrize(
    ("registration", "box"),
    [
        (Registration.identity(), (60.0, 60.0, 40.0, 40.0)),
        (Registration.homography([2, 0, 9, 0, 2, 9, 0, 0, 1]), BOX),
    ],
    ids=["thermal pixels", "visible pixels already"],
)
def test_a_target_given_before_the_first_visible_image_is_followed_into_it(bench, registration, box):
    bench.worker.apply(unbelieving(9), registration)
    bench.wait_for(seen := bench.add(size=registration.extent((96, 96)), visible=False))
    bench.worker.init(seen, BOX, 1)
    bench.wait(lambda result: result.id == 1)
    joined = bench.wait_for(bench.add(size=(192, 192)))
    assert (joined.state, joined.id) == (State.COASTING, 1)
    assert joined.box == pytest.approx(box)


def test_without_frames_the_state_says_what_can_still_be_seen(bench):
    assert bench.wait(lambda result: result.stale).state is State.IDLE
    bench.track()
    held = bench.wait(lambda result: result.stale)
    assert held.state is State.COASTING and held.box == BOX and held.score == 0
    bench.health = (Health.SILENT, Health.OK)
    assert bench.wait(lambda result: result.health == bench.health).state is State.COASTING
    bench.health = (Health.SILENT, Health.SILENT)
    assert bench.wait(lambda result: result.health == bench.health).state is State.ERROR


def test_requests_are_met_at_once_while_nothing_comes(bench):
    bench.track()
    bench.worker.apply(PATIENT, Registration.identity())
    time.sleep(0.5)
    bench.results.clear()
    begin = time.monotonic()
    bench.worker.reset()
    assert bench.wait(lambda result: True).state is State.IDLE
    bench.worker.init(bench.buffer.find(0), BOX, 2)
    assert bench.wait(lambda result: True).state is State.TRACKING
    bench.worker.enable(False)
    assert bench.wait(lambda result: True).state is State.IDLE
    assert time.monotonic() - begin < PATIENT.output.timeout / 2
    bench.worker.apply(PATIENT, Registration.identity())
    time.sleep(0.5)
    assert not bench.results, "new settings are no news of the target"


def test_what_a_camera_in_bad_health_sends_is_not_used(bench):
    bench.track()
    alone = bench.wait_for(bench.add((Health.OK, Health.FROZEN)))
    assert alone.frame.thermal is None and alone.state is State.TRACKING
    nothing = bench.wait_for(bench.add((Health.BLACK, Health.BLACK)))
    assert nothing.frame is None and nothing.state is State.ERROR
    assert bench.wait_for(bench.add()).state is State.TRACKING


def test_without_a_registration_thermal_images_are_not_fused(bench):
    bench.track()
    bench.worker.apply(SETTINGS, None)
    assert bench.wait_for(bench.add()).frame.thermal is None
