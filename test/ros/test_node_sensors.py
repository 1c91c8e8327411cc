"""Cameras as they are: silent, black, frozen, late, of unequal rates, with clocks that are off or fall back."""

import math
import time

import cv2
import numpy as np
import pytest
from geometry_msgs.msg import Point, PointStamped
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import CameraInfo, Image

from tpf_interfaces.msg import TrackedTarget
from tpf_ros.diagnostics import offset_hint
from tpf_ros.drawing import STATE_COLOURS
from tpf_ros.image_decoding import decode_visible
from tpf_ros.parameters import SyncSettings
from tpf_ros.stamps import to_nanoseconds, to_stamp

BOX = (100, 80, 40, 40)
OK, SILENT, BLACK = TrackedTarget.HEALTH_OK, TrackedTarget.HEALTH_SILENT, TrackedTarget.HEALTH_BLACK
PERIOD = 33_333_333


@pytest.fixture(scope="module")
def running(start_tracker):
    # On a busy machine a camera may pause longer than usual: silence is only what lasts.
    parameters = {"tracker.coast_score": 0.0, "health.silent_after": 1.0, "output.timeout": 0.5, "runtime": "onnx"}
    tracker = start_tracker(parameters)
    tracker.wait_for_state("active")
    tracker.until(lambda: tracker.targets, "nothing is published before the first image")
    first = tracker.targets[0]
    assert first.state == first.IDLE and first.visible_health == first.thermal_health == SILENT
    assert to_nanoseconds(first.header.stamp) == 0 and math.isnan(first.latency)
    return tracker


@pytest.fixture
def tracker(running):
    """ACTIVE, with both cameras well and a target."""
    running.pump(lambda: both_used(running), "the cameras do not recover")
    response = running.init(BOX)
    assert response.success, response.message
    running.pump(lambda: running.targets[-1].id == response.id, "the target is not taken up")
    return running


def both_used(tracker):
    last = tracker.targets[-1]
    return last.visible_health == last.thermal_health == OK and not math.isnan(last.sync_error)


def pairs_since(tracker, begin):
    """{visible stamp: thermal stamp} of what came out since the index `begin`."""
    fresh = [target for target in tracker.targets[begin:] if not math.isnan(target.sync_error)]
    return {to_nanoseconds(target.visible_stamp): to_nanoseconds(target.thermal_stamp) for target in fresh}


def test_another_runtime_than_the_usual_one_tracks(tracker):
    tracker.pump(lambda: tracker.diagnostics.get("runtime"), "no diagnostics of the model")
    assert (tracker.diagnostics["runtime"], tracker.diagnostics["precision"]) == ("onnx", "float32")


@pytest.mark.parametrize("silent", ["visible", "thermal"])
def test_one_camera_goes_silent_and_comes_back(tracker, silent):
    alive = "thermal" if silent == "visible" else "visible"
    health = f"{silent}_health"
    tracker.pump(
        lambda: getattr(tracker.targets[-1], health) == SILENT and tracker.targets[-1].state == TrackedTarget.TRACKING,
        "the node does not go on with one camera",
        lambda: tracker.send(**{alive: tracker.next_stamp()}),
    )
    target = tracker.targets[-1]
    assert target.header.frame_id == "visible_optical", "the camera whose pixels the box is in"
    assert to_nanoseconds(getattr(target, f"{silent}_stamp")) == 0 and math.isnan(target.sync_error)
    assert to_nanoseconds(target.header.stamp) == to_nanoseconds(getattr(target, f"{alive}_stamp")) > 0
    tracker.until(
        lambda: tracker.levels[silent] == (b"\x01", f"no images on {tracker.namespace}/{silent}/image"),
        "no warning in the diagnostics",
        lambda: tracker.send(**{alive: tracker.next_stamp()}),
    )
    tracker.pump(lambda: both_used(tracker), "it does not recover")
    assert tracker.targets[-1].id == target.id and tracker.targets[-1].state == TrackedTarget.TRACKING


def test_while_the_visible_camera_is_silent_what_is_published_can_be_drawn_on(tracker):
    send = lambda: tracker.send(thermal=tracker.next_stamp())
    tracker.pump(lambda: tracker.targets[-1].visible_health == SILENT, "silence is not noticed", send)
    tracker.pump(lambda: to_nanoseconds(tracker.targets[-1].visible_stamp) == 0, "no thermal image is used", send)
    header = tracker.targets[-1].header
    response = tracker.init(BOX, stamp=to_nanoseconds(header.stamp))
    assert response.success, response.message
    tracker.pump(lambda: tracker.targets[-1].id == response.id, "the target is not taken up", send)
    first = next(target for target in tracker.targets if target.id == response.id)
    assert (first.header.stamp, first.x, first.width) == (header.stamp, BOX[0], BOX[2])
    click = PointStamped(header=first.header, point=Point(x=250.0, y=200.0))  # beyond the thermal image's 160 x 120
    tracker.publish("tpf_tracker/click", click)
    tracker.pump(lambda: tracker.targets[-1].id == response.id + 1, "the click is refused", send)
    clicked = next(target for target in tracker.targets if target.id == response.id + 1)
    assert (clicked.x + clicked.width / 2, clicked.y + clicked.height / 2) == pytest.approx((250, 200))
    tracker.pump(lambda: both_used(tracker), "it does not recover")


def test_in_place_of_a_black_image_the_debug_image_shows_the_thermal_one_where_it_belongs(tracker):
    shown = []
    subscription = tracker.subscribe(Image, "debug_image", shown.append)
    shift = [2.0, 0.0, 60.0, 0.0, 2.0, 30.0, 0.0, 0.0, 1.0]
    changed = tracker.set_parameters(registration__method="homography", registration__homography=shift)
    assert all(result.successful for result in changed), changed

    def send_black():
        stamp = tracker.next_stamp()
        tracker.send(stamp, stamp, visible_image=np.zeros((240, 320, 3), np.uint8))

    def bright():
        """The middle of what is brightest, of the last image."""
        if not shown or tracker.targets[-1].visible_health != BLACK:
            return None
        image = cv2.blur(decode_visible(shown[-1]).mean(axis=2), (31, 31))
        return np.unravel_index(image[60:].argmax(), image[60:].shape)[::-1]  # text is above

    try:
        square = (180, 130 - 60)  # at (100, 80), 40 px, without the shift
        close = lambda: bright() is not None and np.abs(np.subtract(bright(), square)).max() < 8
        tracker.pump(close, "it is not shown where the registration puts it", send_black)
    finally:
        assert all(result.successful for result in tracker.set_parameters(registration__method="identity"))
        tracker.node.destroy_subscription(subscription)
    tracker.pump(lambda: both_used(tracker), "it does not recover")


def test_a_black_camera_is_left_out(tracker):
    def send_black():
        stamp = tracker.next_stamp()
        tracker.send(stamp, stamp, visible_image=np.zeros((240, 320, 3), np.uint8))

    tracker.pump(lambda: tracker.targets[-1].visible_health == BLACK, "black is not noticed", send_black)
    assert tracker.targets[-1].state == TrackedTarget.TRACKING
    tracker.until(lambda: tracker.levels["visible"][0] == b"\x01", "no warning in the diagnostics", send_black)
    tracker.pump(lambda: both_used(tracker), "it does not recover")


def test_when_all_is_silent_the_target_says_so_again_and_again(tracker):
    shown = []
    subscription = tracker.subscribe(Image, "debug_image", shown.append)
    tracker.pump(lambda: shown, "no debug image is published")
    target_id, seen = tracker.targets[-1].id, len(tracker.targets)
    stamp = tracker.targets[-1].header.stamp
    errors = lambda: [target for target in tracker.targets[seen:] if target.state == TrackedTarget.ERROR]
    tracker.until(lambda: len(errors()) >= 3, "silence is not published")
    for target in (last := tracker.targets[-3:]):
        assert target.visible_health == target.thermal_health == SILENT
        assert target.confidence == 0 and target.id == target_id
        assert to_nanoseconds(target.header.stamp) >= to_nanoseconds(stamp)
    assert last[0].latency < last[1].latency < last[2].latency, "a stale box must show its age"
    red, green, blue = STATE_COLOURS["error"]
    in_error = lambda: (np.abs(decode_visible(shown[-1]).astype(int) - (red, green, blue)).max(axis=2) < 20).sum() > 20
    tracker.until(in_error, "the picture still shows a target that is seen")
    tracker.node.destroy_subscription(subscription)
    tracker.until(lambda: tracker.levels["tracker"][0] == b"\x02", "no error in the diagnostics")
    tracker.pump(lambda: tracker.targets[-1].state == TrackedTarget.TRACKING, "it does not recover")


def test_a_thermal_clock_that_is_off_is_put_right_by_the_offset(tracker):
    lag = 40_000_000

    def send():
        stamp = tracker.next_stamp()
        tracker.send(stamp, stamp - lag)

    # Uncorrected, each pair would be of neighbouring frames, 6.7 ms apart.
    assert tracker.set_parameters(sync__thermal_offset=0.04)[0].successful
    try:
        begin, start = len(tracker.targets), tracker.next_stamp()
        # What was sent before with equal stamps may still come out, or be paired with the first of these.
        corrected = lambda: {v: t for v, t in pairs_since(tracker, begin).items() if v > start + lag}
        tracker.pump(lambda: len(corrected()) > 4, "no pairs", send)
        assert all(thermal == visible - lag for visible, thermal in corrected().items()), corrected()
        assert all(abs(target.sync_error) < 1e-6 for target in tracker.targets[-2:])
    finally:
        assert tracker.set_parameters(sync__thermal_offset=0.0)[0].successful


def test_unequal_rates_pair_nearest_stamps(tracker):
    """30 Hz and 9 Hz: a pair for every thermal image, none more than half a visible period apart."""
    begin, start, sent = len(tracker.targets), tracker.next_stamp(), []

    def send():
        stamp, thermal = tracker.next_stamp(), start + len(sent) * 111_111_111
        tracker.send(stamp, thermal if thermal <= stamp else None)
        if thermal <= stamp:
            sent.append(thermal)

    def pairs():
        return {visible: thermal for visible, thermal in pairs_since(tracker, begin).items() if visible >= start}

    tracker.pump(lambda: len(pairs()) > 4, "no pairs", send)
    for visible, thermal in pairs().items():
        assert thermal in sent
        assert abs(thermal - visible) <= PERIOD / 2 + 1


@pytest.mark.parametrize(
    ("offset", "said"),
    [
        (None, ""),
        (0.055, ""),
        (-0.3, "sync.thermal_offset should be near -0.300 s"),
        (3600.0, "nothing in common"),
    ],
    ids=["unknown", "as it is", "other", "out of range"],
)
def test_an_offset_is_suggested_that_helps_and_can_be_set(offset, said):
    hint = offset_hint(offset, SyncSettings(thermal_offset=0.04))
    assert said in hint and bool(hint) == bool(said)


def test_at_a_low_rate_both_images_of_a_pair_are_used(tracker):
    """The visible image comes first, and is older than `health.silent_after` when the pair is known."""
    assert tracker.set_parameters(health__silent_after=0.05)[0].successful

    def send():
        stamp = tracker.next_stamp(10**9)
        tracker.send(visible=stamp)
        tracker.spin(0.3)
        tracker.send(thermal=stamp)
        tracker.spin(0.3)

    try:
        begin = len(tracker.targets)
        pairs = lambda: [one for one in tracker.targets[begin:] if not math.isnan(one.sync_error) and one.confidence]
        tracker.until(lambda: len(pairs()) > 2, "no pairs", send)
        assert {(target.visible_health, target.thermal_health) for target in pairs()} == {(OK, OK)}
        tracker.until(lambda: tracker.targets[-1].thermal_health == SILENT, "silence is not reported")
    finally:
        assert tracker.set_parameters(health__silent_after=1.0)[0].successful


@pytest.mark.parametrize("late", ["visible", "thermal"])
def test_a_camera_that_starts_late_joins(start_tracker, late, request):
    """The first seconds have one camera only: it is used, and the pairs after are of equal stamps."""
    tracker = request.getfixturevalue("tracker")
    assert tracker.transition("deactivate") and tracker.transition("activate")
    begin, early = len(tracker.targets), "thermal" if late == "visible" else "visible"
    for _ in range(10):  # a second each
        tracker.send(**{early: tracker.next_stamp(10**9)})
        tracker.spin(0.2)
    tracker.pump(
        lambda: getattr(tracker.targets[-1], f"{late}_health") == SILENT and len(tracker.targets) > begin + 3,
        "the early camera is not used",
        lambda: tracker.send(**{early: tracker.next_stamp()}),
    )
    begin = len(tracker.targets)
    tracker.pump(lambda: len(pairs_since(tracker, begin)) > 2, "no pairs once both are there")
    assert all(visible == thermal for visible, thermal in pairs_since(tracker, begin).items())


@pytest.mark.parametrize("silent_after", [1.0, 30.0], ids=["given up waiting", "waiting"])
def test_the_first_images_of_a_lone_camera_can_be_initialised_on(tracker, silent_after):
    """Also while they wait for a partner still; sensors' messages may get lost, so the nearest to the first counts."""
    assert tracker.transition("deactivate") and tracker.transition("activate")
    assert tracker.set_parameters(health__silent_after=silent_after)[0].successful
    tracker.diagnostics["visible received"], sent, begin = "0", [], len(tracker.targets)

    def send():
        sent.append(tracker.next_stamp(100_000_000))
        tracker.send(visible=sent[-1])
        tracker.spin(0.1)

    published = lambda: any(to_nanoseconds(target.visible_stamp) for target in tracker.targets[begin:])
    received = lambda: tracker.diagnostics["visible received"] != "0"
    tracker.until(published if silent_after == 1.0 else received, "no image arrives", send)
    response = tracker.init(BOX, stamp=sent[0])
    assert tracker.set_parameters(health__silent_after=1.0)[0].successful
    assert response.success, response.message
    tracker.until(lambda: tracker.targets[-1].id == response.id, "the target is not taken up")
    first = next(target for target in tracker.targets if target.id == response.id)
    assert to_nanoseconds(first.visible_stamp) - sent[0] < 250_000_000


@pytest.fixture(params=["nothing", "camera_info", "homography"])
def known(request, tracker):
    """What says where thermal pixels lie in the visible image before there is one."""
    matrix = [2.0, 0.0, 0.0, 0.0, 2.0, 0.0, 0.0, 0.0, 1.0]
    method = "homography" if request.param == "homography" else "identity"
    assert tracker.set_parameters(registration__homography=matrix, registration__method=method)[1].successful
    yield request.param
    assert tracker.set_parameters(registration__method="identity")[0].successful


def test_a_target_given_on_the_thermal_image_alone_is_followed_when_the_visible_camera_joins(tracker, known):
    """Before, its box is in thermal pixels, unless it is known where they lie in the visible image."""
    assert tracker.transition("deactivate") and tracker.transition("activate")
    begin = len(tracker.targets)

    def send():
        if known == "camera_info":
            tracker.publish("visible/camera_info", CameraInfo(width=320, height=240, k=np.eye(3).ravel(), d=[0.0] * 5))
        tracker.send(thermal=tracker.next_stamp())

    thermal_alone = lambda: any(to_nanoseconds(target.thermal_stamp) for target in tracker.targets[begin:])
    tracker.pump(thermal_alone, "thermal is not used", send)
    response = tracker.init((100, 80, 20, 20), image=1)
    assert response.success, response.message
    tracker.until(lambda: tracker.targets[-1].id == response.id, "the target is not taken up")
    first = next(target for target in tracker.targets if target.id == response.id)
    factor = 1 if known == "nothing" else 2
    assert (first.x, first.y, first.width, first.height) == (100 * factor, 80 * factor, 20 * factor, 20 * factor)
    assert (first.x_norm, first.width_norm) == pytest.approx((200 / 320, 40 / 320))
    assert first.header.frame_id == ("thermal_optical" if known == "nothing" else "")
    tracker.pump(lambda: both_used(tracker), "the visible camera does not join")
    joined = tracker.targets[-1]
    assert (joined.id, joined.state) == (response.id, TrackedTarget.TRACKING)
    assert joined.width / joined.width_norm == pytest.approx(320)


def test_a_looped_bag_goes_on(tracker):
    first = tracker._stamp
    tracker.pump(lambda: tracker._stamp > first + 2 * 10**9, "")
    target_id = tracker.targets[-1].id
    for _ in range(2):
        tracker._stamp = first
        begin = len(tracker.targets)
        tracker.pump(lambda: len(pairs_since(tracker, begin)) > 3, "no pairs after the loop")
        assert all(visible == thermal for visible, thermal in pairs_since(tracker, begin).items())
        assert tracker.targets[-1].id == target_id
    tracker._stamp = time.time_ns()


def test_simulated_time_that_jumps_back(tracker):
    assert tracker.set_parameters(use_sim_time=True)[0].successful
    now = [1000 * 10**9]
    simulated = lambda: 0 <= tracker.targets[-1].latency < 1
    tracker.pump(simulated, "latency is not in simulated time", lambda: step(tracker, now))
    now[0] = 10 * 10**9
    begin = len(tracker.targets)
    tracker.pump(
        lambda: len(pairs_since(tracker, begin)) > 3 and simulated(),
        "it does not follow the clock back",
        lambda: step(tracker, now),
    )
    newest = to_nanoseconds(tracker.targets[-1].visible_stamp)
    assert tracker.init(BOX, stamp=newest).success, "the buffer holds what came after the jump"
    assert tracker.set_parameters(use_sim_time=False)[0].successful
    tracker._stamp = time.time_ns()


def step(tracker, now):
    """One frame of simulated time: the clock, and both images of that moment."""
    now[0] += PERIOD
    if not hasattr(tracker, "clock"):
        tracker.clock = tracker.node.create_publisher(Clock, "/clock", 10)
    tracker.clock.publish(Clock(clock=to_stamp(now[0])))
    tracker.send(now[0], now[0])
