"""The running node: what comes out of it, how a target is chosen, and what it refuses."""

import math
import time

import numpy as np
import pytest
from geometry_msgs.msg import Point, PointStamped
from sensor_msgs.msg import CameraInfo, Image, RegionOfInterest
from std_msgs.msg import Float32, Header
from std_srvs.srv import SetBool

from tpf_interfaces.msg import TrackedTarget
from tpf_interfaces.srv import InitTarget
from tpf_ros.drawing import STATE_COLOURS
from tpf_ros.image_decoding import decode_visible
from tpf_ros.stamps import to_nanoseconds, to_stamp

BOX = (100, 80, 40, 40)
BAD_BOX, STAMP_TOO_OLD, NO_IMAGE_YET, BAD_IMAGE, NOT_ACTIVE = (
    getattr(InitTarget.Response, name)
    for name in ("BAD_BOX", "STAMP_TOO_OLD", "NO_IMAGE_YET", "BAD_IMAGE", "NOT_ACTIVE")
)


@pytest.fixture(scope="module")
def running(start_tracker):
    # An untrained network's scores are low: without these it would be lost before a test has looked.
    tracker = start_tracker({"tracker.coast_score": 0.0, "click.size": 20.0})
    tracker.wait_for_state("active")
    refused_without_image(tracker)
    return tracker


@pytest.fixture
def tracker(running):
    """ACTIVE, with images and without a target."""
    running.reset()
    return running


def refused_without_image(tracker):
    """Only before anything else has run can a call come before the first image."""
    response = tracker.init(BOX)
    assert not response.success and response.error_code == NO_IMAGE_YET, response


def box_of(target):
    return target.x, target.y, target.width, target.height


def wait_for_target(tracker, target_id):
    tracker.pump(lambda: tracker.targets[-1].id == target_id, f"target {target_id} is not taken up")
    return next(target for target in tracker.targets if target.id == target_id)


def test_every_output_carries_its_source(tracker):
    stamp = tracker.show()
    target = next(target for target in tracker.targets if to_nanoseconds(target.header.stamp) == stamp)
    assert target.header.frame_id == "visible_optical"
    assert to_nanoseconds(target.visible_stamp) == to_nanoseconds(target.thermal_stamp) == stamp
    assert target.sync_error == 0
    assert target.visible_health == target.thermal_health == target.HEALTH_OK
    assert target.state == target.IDLE
    assert all(map(math.isnan, (*box_of(target), target.x_norm, target.bearing_x, target.angular_width)))


def test_latency_is_the_age_at_publication(tracker):
    tracker._stamp = time.time_ns() - 100 * 10**9
    stamp = tracker.show()
    target = next(target for target in tracker.targets if to_nanoseconds(target.header.stamp) == stamp)
    assert 90 < target.latency <= (time.time_ns() - stamp) * 1e-9


def test_a_target_is_taken_up_followed_and_forgotten(tracker):
    scores = []
    subscription = tracker.subscribe(Float32, "confidence", scores.append)
    stamp = tracker.show()
    response = tracker.init(BOX)
    assert response.success and response.error_code == response.OK and response.message == ""
    first = wait_for_target(tracker, response.id)
    assert first.state == first.TRACKING
    assert box_of(first) == pytest.approx(BOX)
    assert to_nanoseconds(first.header.stamp) >= stamp
    assert (first.x_norm, first.y_norm) == pytest.approx((BOX[0] / 320, BOX[1] / 240))
    assert (first.width_norm, first.height_norm) == pytest.approx((BOX[2] / 320, BOX[3] / 240))
    tracker.pump(lambda: len(scores) > 3 and scores[-1].data > 0, "no confidence is published")
    again = tracker.init(BOX)
    assert again.id == response.id + 1, "each initialisation is a new target"
    wait_for_target(tracker, again.id)
    tracker.reset()
    assert math.isnan(tracker.targets[-1].x)
    tracker.node.destroy_subscription(subscription)


def test_the_operator_s_image_is_found_in_the_past(tracker):
    """The first output of the new target is of the very frame the box was drawn on; the last catches up."""
    past = tracker.show()
    for _ in range(3):
        newest = tracker.show()
    response = tracker.init(BOX, stamp=past)
    assert response.success, response.message
    tracker.until(lambda: tracker.targets[-1].id == response.id, "the target is not taken up")
    first = next(target for target in tracker.targets if target.id == response.id)
    assert to_nanoseconds(first.header.stamp) == past
    assert box_of(first) == pytest.approx(BOX)
    # Without another image sent: what is buffered is enough to come up to date.
    tracker.until(lambda: to_nanoseconds(tracker.targets[-1].header.stamp) == newest, "it does not catch up")
    stamps = [to_nanoseconds(target.header.stamp) for target in tracker.targets if target.id == response.id]
    assert stamps == sorted(stamps)


@pytest.mark.parametrize(
    "box",
    [
        (400, 80, 40, 40),
        (-60, 80, 40, 40),
        (100, 80, 0, 40),
        (100, 80, 40, -1),
        (math.nan, 80, 40, 40),
        (100, 80, math.inf, 40),
    ],
    ids=["right of the image", "left of it", "no width", "negative height", "NaN", "infinite"],
)
def test_a_bad_box_is_refused(tracker, box):
    stamp = tracker.show()
    response = tracker.init(box)
    assert not response.success and response.error_code == BAD_BOX and response.id == 0
    assert "box" in response.message
    # And has changed nothing.
    assert tracker.show() > stamp
    assert tracker.targets[-1].state == TrackedTarget.IDLE


def test_stamps_outside_the_buffer_are_refused_with_its_span(tracker):
    newest = tracker.show()
    old = tracker.init(BOX, stamp=newest - 60 * 10**9)
    assert old.error_code == STAMP_TOO_OLD and "older than the oldest" in old.message and "buffered:" in old.message
    future = tracker.init(BOX, stamp=newest + 60 * 10**9)
    assert future.error_code == STAMP_TOO_OLD and "newer than the newest" in future.message


def test_an_unknown_image_is_refused(tracker):
    tracker.show()
    response = tracker.init(BOX, image=7)
    assert response.error_code == BAD_IMAGE and "thermal" in response.message


def test_a_box_on_the_thermal_image_is_reported_in_visible_pixels(tracker):
    tracker.show()
    response = tracker.init((50, 40, 20, 20), image=InitTarget.Request.THERMAL)  # half the visible image's size
    assert response.success, response.message
    assert box_of(wait_for_target(tracker, response.id)) == pytest.approx(BOX)
    outside = tracker.init((200, 40, 20, 20), image=InitTarget.Request.THERMAL)  # inside the visible image only
    assert outside.error_code == BAD_BOX and "160x120" in outside.message


def test_a_box_on_the_fused_search_region_is_mapped_back(tracker):
    tracker.show()
    response = tracker.init(BOX)
    stamp = to_nanoseconds(wait_for_target(tracker, response.id).header.stamp)
    # The region searched is 160 px around the box, shown at 256 px: the box fills its middle quarter.
    middle = tracker.init((96, 96, 64, 64), stamp=stamp, image=InitTarget.Request.FUSED)
    assert middle.success, middle.message
    assert box_of(wait_for_target(tracker, middle.id)) == pytest.approx(BOX)


def test_topics_choose_targets_too(tracker):
    tracker.show()
    last = tracker.targets[-1].id
    tracker.publish("tpf_tracker/init_roi", RegionOfInterest(x_offset=90, y_offset=70, width=30, height=50))
    roi = wait_for_target(tracker, last + 1)
    assert box_of(roi) == pytest.approx((90, 70, 30, 50))
    click = PointStamped(header=Header(frame_id="visible_optical"))
    click.point.x, click.point.y = 120.0, 100.0
    tracker.publish("tpf_tracker/click", click)
    assert box_of(wait_for_target(tracker, last + 2)) == pytest.approx((110, 90, 20, 20))
    click.header.frame_id = "thermal_optical"
    click.point.x, click.point.y = 60.0, 50.0
    tracker.publish("tpf_tracker/click", click)
    # 20 thermal px are 40 visible ones.
    assert box_of(wait_for_target(tracker, last + 3)) == pytest.approx((100, 80, 40, 40))
    # Foxglove stamps a click by its own clock.
    click.header = Header(frame_id="visible_optical", stamp=to_stamp(tracker.next_stamp() + 60 * 10**9))
    tracker.publish("tpf_tracker/click", click)
    assert box_of(wait_for_target(tracker, last + 4)) == pytest.approx((50, 40, 20, 20))
    # rqt_image_view says neither when nor on which image.
    tracker.publish("tpf_tracker/debug_image_mouse_left", Point(x=120.0, y=100.0))
    assert box_of(wait_for_target(tracker, last + 5)) == pytest.approx((110, 90, 20, 20))
    # A bad one is only reported.
    click.point.x = math.nan
    tracker.publish("tpf_tracker/click", click)
    tracker.pump(lambda: "~/click refused: box" in tracker.log(), "the refusal is not logged")
    assert tracker.targets[-1].id == last + 5


def test_switched_off_it_tracks_nothing_and_remembers_the_target(tracker):
    tracker.show()
    response = tracker.init(BOX)
    wait_for_target(tracker, response.id)
    assert tracker.call(SetBool, "set_enabled", SetBool.Request(data=False)).success
    tracker.pump(lambda: tracker.targets[-1].state == TrackedTarget.IDLE, "it still tracks")
    refused = tracker.init(BOX)
    assert refused.error_code == NOT_ACTIVE and "set_enabled" in refused.message
    assert tracker.call(SetBool, "set_enabled", SetBool.Request(data=True)).success
    tracker.pump(lambda: tracker.targets[-1].state == TrackedTarget.TRACKING, "it does not go on")
    assert tracker.targets[-1].id == response.id


def test_images_are_made_for_those_who_listen(tracker):
    tracker.show()
    wait_for_target(tracker, tracker.init(BOX).id)
    fused, debug = [], []
    subscriptions = [
        tracker.subscribe(Image, "fused_image", fused.append),
        tracker.subscribe(Image, "debug_image", debug.append),
    ]
    tracker.pump(lambda: fused and debug, "no images are published")
    sent = {to_nanoseconds(target.header.stamp) for target in tracker.targets}
    for message, size in ((fused[-1], (256, 256)), (debug[-1], (320, 240))):
        assert (message.width, message.height) == size
        assert message.header.frame_id == "visible_optical"
        assert to_nanoseconds(message.header.stamp) in sent
    assert shows_box(debug[-1], next(one for one in tracker.targets if one.header.stamp == debug[-1].header.stamp))
    assert all(result.successful for result in tracker.set_parameters(fused_image__region="frame"))
    tracker.pump(lambda: (fused[-1].width, fused[-1].height) == (320, 240), "the whole frame is not fused")
    assert all(result.successful for result in tracker.set_parameters(fused_image__region="search"))
    for subscription in subscriptions:
        tracker.node.destroy_subscription(subscription)


def shows_box(message, target):
    """Whether the middle of the box's left edge is drawn, in the colour of TRACKING."""
    row, column = int(target.y + target.height / 2), round(target.x)
    near = decode_visible(message)[row, max(0, column - 2) : column + 3].astype(int)
    return (np.abs(near - STATE_COLOURS["tracking"]).max(axis=1) < 20).any()


def test_bearings_need_a_calibration_of_the_same_size(tracker):
    tracker.show()
    info = CameraInfo(width=320, height=240, distortion_model="plumb_bob", d=[0.0] * 5)
    info.k = [200.0, 0.0, 159.5, 0.0, 200.0, 119.5, 0.0, 0.0, 1.0]

    def send():  # with every pair, as cameras do
        tracker.publish("visible/camera_info", info)
        tracker.send_pair()

    response = tracker.init(BOX)
    tracker.pump(lambda: tracker.targets[-1].id == response.id, "the target is not taken up")
    tracker.pump(lambda: not math.isnan(tracker.targets[-1].bearing_x), "there is no bearing", send)
    target = tracker.targets[-1]
    assert target.bearing_x == pytest.approx((target.x + target.width / 2 - 160) / 200)
    assert target.angular_height == pytest.approx(target.height / 200)
    info.width, info.height = 640, 480
    complaint = "a bearing comes from another resolution's numbers"
    tracker.pump(lambda: math.isnan(tracker.targets[-1].bearing_x), complaint, send)


def test_a_plane_needs_calibrations_of_the_images_sizes(tracker):
    """As the thermal image is half the visible one's size, so is its camera matrix."""
    infos = {}

    def publish(stream, width, height, focal, distortion=0.0):
        info = CameraInfo(width=width, height=height, distortion_model="plumb_bob", d=[distortion, 0.0, 0.0, 0.0, 0.0])
        info.k = [focal, 0.0, width / 2 - 0.5, 0.0, focal, height / 2 - 0.5, 0.0, 0.0, 1.0]
        infos[f"{stream}/camera_info"] = info

    def send():  # with every pair, as cameras do
        for topic, info in infos.items():
            tracker.publish(topic, info)
        tracker.send_pair()

    def wait_for_complaint(text):
        complains = lambda: text in tracker.levels["tracker"][1]
        tracker.pump(complains, f"no diagnostics say {text!r}", send)

    assert tracker.set_parameters(registration__method="plane")[0].successful
    try:
        publish("visible", 320, 240, 300.0)
        infos["thermal/camera_info"] = CameraInfo(width=160, height=120)  # of a driver that knows no calibration
        wait_for_complaint("plane waits for thermal/camera_info with a calibration")
        publish("thermal", 640, 480, 600.0)
        wait_for_complaint("thermal/camera_info is for images of 640x480, those received have 160x120")
        assert "thermal/camera_info is for images of 640x480" in tracker.log()
        refused = tracker.init((50, 40, 20, 20), image=InitTarget.Request.THERMAL)
        assert refused.error_code == BAD_IMAGE and "camera_info" in refused.message
        publish("thermal", 160, 120, 150.0)
        tracker.pump(lambda: tracker.levels["tracker"] == (b"\x00", "idle"), "it is not used once it fits", send)
        response = tracker.init((50, 40, 20, 20), image=InitTarget.Request.THERMAL)
        assert response.success, response.message
        assert box_of(wait_for_target(tracker, response.id)) == pytest.approx(BOX)
        publish("thermal", 160, 120, 150.0, distortion=-0.3)
        wait_for_complaint("plane is for rectified images: thermal images show their lens's distortion")
        assert "thermal images show" in tracker.log()
    finally:
        assert tracker.set_parameters(registration__method="identity")[0].successful


def test_bad_images_are_dropped_counted_and_named(tracker):
    good = tracker.show()
    bad = {
        "is empty": Image(encoding="bgr8"),
        "step": Image(width=8, height=8, step=8, encoding="bgr8", data=bytes(64)),
        "192": Image(width=8, height=8, step=24, encoding="bgr8", data=bytes(100)),
        "'h265'": Image(width=8, height=8, step=24, encoding="h265", data=bytes(192)),
        "stamp": Image(width=8, height=8, step=24, encoding="bgr8", data=bytes(192)),
    }

    def reported(reason):
        return any(key.startswith("visible bad: ") and reason in key for key in tracker.diagnostics)

    for reason, message in bad.items():
        if reason != "stamp":
            message.header.stamp = to_stamp(tracker.next_stamp())
        send = lambda: tracker.publish("visible/image", message)
        tracker.until(lambda: reported(reason), f"{reason!r} is not in the diagnostics", send)
    tracker.publish("thermal/image", bad["is empty"])
    assert tracker.show() > good, "good images are used as before"
    tracker.until(lambda: tracker.levels["visible"][0] == b"\x00", "the warning does not go", tracker.send_pair)


def test_bad_parameters_are_refused_with_the_reason_and_change_nothing(tracker):
    refused = {
        "sync__max_difference": (-1.0, "range"),
        "thermal__percentiles": ([98.0, 2.0], "low < high"),
        "thermal__normalisation": ("auto", "percentile, fixed, full"),
        "registration__homography": ([1.0] * 9, "homography"),
        "tracker__recover_score": (0.0, "recover_score"),
        "model": ("small", "clean it up"),
        "autostart": (False, "read-only"),
    }
    tracker.set_parameters(tracker__coast_score=0.1)
    for name, (value, reason) in refused.items():
        (result,) = tracker.set_parameters(**{name: value})
        assert not result.successful and reason in result.reason, (name, result)
    tracker.set_parameters(tracker__coast_score=0.0)
    tracker.show()


def test_diagnostics_say_what_runs_and_how_fast(tracker):
    tracker.show()
    wait_for_target(tracker, tracker.init(BOX).id)
    tracker.diagnostics.clear()
    tracker.pump(lambda: tracker.diagnostics.get("state") == "TRACKING", "no diagnostics of the state")
    values = tracker.diagnostics
    assert (values["model"], values["device"], values["runtime"]) == ("tiny", "cpu", "eager")  # not "auto"
    assert "model tiny on cpu" in tracker.log()
    assert values["weights"] == "random (source: random, untrained)"
    latencies = [float(values[f"latency p{percent} (ms)"]) for percent in (50, 95, 99)]
    assert sorted(latencies) == latencies
    assert float(values["visible rate (Hz)"]) > 0 and float(values["pair rate (Hz)"]) > 0
    assert int(values["processed"]) + int(values["dropped"]) <= int(values["pairs"])
    assert values["visible health"] == values["thermal health"] == "OK"
    assert 50 < float(values["peak memory (MB)"]) < 1500


def test_in_images_of_a_new_size_the_target_goes_on(tracker):
    tracker.show()
    response = tracker.init(BOX)
    wait_for_target(tracker, response.id)
    small = np.random.default_rng(0).integers(0, 255, (120, 160, 3)).astype(np.uint8)

    def send_small():
        stamp = tracker.next_stamp()
        tracker.send(stamp, stamp, visible_image=small ^ (stamp % 7))

    begin = len(tracker.targets)
    image_width = lambda target: round(target.width / target.width_norm)
    tracker.pump(lambda: image_width(tracker.targets[-1]) == 160, "no small image is used", send_small)
    first = next(k for k, target in enumerate(tracker.targets[begin:], begin) if image_width(target) == 160)
    before, after = tracker.targets[first - 1 : first + 1]
    assert (after.id, after.state) == (response.id, TrackedTarget.TRACKING)
    # An untrained network finds it somewhere else, but not far.
    assert (after.x, after.y, after.width) == pytest.approx((before.x / 2, before.y / 2, before.width / 2), abs=10)
    assert after.confidence < 1
