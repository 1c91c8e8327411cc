"""Starting, failing to start, and ending, in every state."""

import math
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from rclpy.qos import ReliabilityPolicy
from sensor_msgs.msg import CameraInfo

from tpf_interfaces.srv import InitTarget

BOX = (100, 80, 40, 40)


@pytest.fixture(scope="module")
def tracker(start_tracker):
    """A node whose parameters were wrong from the start: it lives, unconfigured."""
    arguments = ["-p", "sync.max_difference:=far", "-p", "tracker.lost_afetr:=3"]
    arguments += ["-p", "output.timeout:=1", "-p", "thermal.percentiles:=[2, 98]"]  # to ROS these are of other types
    arguments += ["-p", "qos_overrides.{namespace}/thermal/image.subscription.reliability:=reliable"]
    tracker = start_tracker({"model": "enormous"}, arguments)
    tracker.until(lambda: tracker.levels, "there are no diagnostics")
    return tracker


def refusal(tracker):
    """What the log says of a configuration that fails."""
    begin = len(tracker.log())
    assert not tracker.transition("configure")
    assert tracker.state() == "unconfigured"
    return tracker.log()[begin:]


def test_parameters_that_were_wrong_from_the_start_are_put_right_one_by_one(tracker):
    assert "unknown parameter 'tracker.lost_afetr'; did you mean 'tracker.lost_after'?" in tracker.log()
    assert "sync.max_difference" in refusal(tracker)
    assert tracker.set_parameters(sync__max_difference=0.03)[0].successful
    assert "'enormous'" in (text := refusal(tracker)) and "auto, base, small, tiny" in text
    level = lambda: tracker.levels["tracker"]
    tracker.until(lambda: level()[0] == b"\x02" and "enormous" in level()[1], "no error in the diagnostics")
    assert not tracker.set_parameters(model="huge")[0].successful
    assert tracker.set_parameters(model="auto")[0].successful


def test_whole_numbers_are_numbers(tracker):
    tracker.set_parameters(model="tiny", sync__max_difference=0.02)
    values = {"sync__thermal_offset": 0, "thermal__limits": [7000, 9000], "registration__translation": [0, 0, 1]}
    results = tracker.set_parameters(**values)
    assert all(result.successful for result in results), results
    for name, wrong in (("sync__max_difference", 11), ("sync__max_difference", "far"), ("thermal__limits", [1, 2, 3])):
        refused = tracker.set_parameters(**{name: wrong})[0]
        assert not refused.successful and name.replace("__", ".") in refused.reason


def test_weights_that_cannot_be_used_are_named(tracker, tmp_path):
    tracker.set_parameters(model="tiny", sync__max_difference=0.02, device="cpu")
    damaged = tmp_path / "damaged.safetensors"
    damaged.write_bytes(b"\x10\x00\x00\x00\x00\x00\x00\x00 not a header")
    for path in (tmp_path / "missing.safetensors", damaged):
        tracker.set_parameters(weights=str(path))
        assert str(path) in refusal(tracker)


def test_a_gpu_that_is_not_there_is_an_error(tracker):
    import torch
    tracker.set_parameters(model="tiny", sync__max_difference=0.02, weights="random")
    wanted = f"cuda:{torch.cuda.device_count()}"
    tracker.set_parameters(device=wanted)
    assert f"device '{wanted}'" in refusal(tracker)


def test_once_put_right_it_tracks_and_can_start_again(tracker):
    tracker.set_parameters(model="tiny", sync__max_difference=0.02, weights="random", device="cpu")
    for transport in ("raw", "compressed"):
        assert tracker.set_parameters(visible__transport=transport)[0].successful
        assert tracker.transition("configure") and tracker.state() == "inactive"
        other = tracker.set_parameters(visible__transport="compressed" if transport == "raw" else "raw")[0]
        assert not other.successful and "clean it up" in other.reason
        refused = tracker.init(BOX)
        assert refused.error_code == InitTarget.Response.NOT_ACTIVE and "activate" in refused.message
        assert tracker.transition("activate")
        tracker.compressed = transport == "compressed"
        tracker.show()
        response = tracker.init(BOX)
        tracker.pump(lambda: tracker.targets[-1].id == response.id, "the target is not taken up")
        assert (tracker.targets[-1].visible_health, tracker.targets[-1].thermal_health) == (0, 0)
        visible = "visible/image/compressed" if tracker.compressed else "visible/image"
        assert tracker.input_qos("thermal/image").reliability == ReliabilityPolicy.RELIABLE, "it is overridden"
        assert tracker.input_qos(visible).reliability == ReliabilityPolicy.BEST_EFFORT, "and this one is not"
        assert tracker.transition("deactivate") and tracker.transition("cleanup")
    assert tracker.transition("shutdown")
    tracker.until(lambda: tracker.levels["tracker"][1] == "finalized", "the diagnostics do not say so")
    assert tracker.end(signal.SIGINT) == 0


def test_a_failed_configure_leaves_no_publisher_behind(start_tracker):
    fused = "qos_overrides.{namespace}/tpf_tracker/fused_image.publisher.reliability:=maybe"
    tracker = start_tracker({"autostart": False}, ["-p", fused])
    assert "maybe" in refusal(tracker)
    tracker.until(lambda: "maybe" in tracker.levels.get("tracker", ("", ""))[1], "no error in the diagnostics")
    assert tracker.node.count_publishers(f"{tracker.namespace}/tpf_tracker/target") == 0


FREED = """
import gc, weakref
import rclpy
from rclpy.lifecycle import TransitionCallbackReturn
from rclpy.parameter import Parameter
from tpf_ros.lifecycle_node import TrackerNode

rclpy.init()
node = TrackerNode()
node.set_parameters([Parameter("weights", value="random"), Parameter("model", value="tiny")])
gc.disable()  # it comes late, with a large program in memory after minutes
assert node.trigger_configure() == node.trigger_activate() == TransitionCallbackReturn.SUCCESS
held = weakref.ref(node._active.buffer), weakref.ref(node._session)
node.trigger_deactivate()
assert held[0]() is None, "images"
node.trigger_cleanup()
assert held[1]() is None, "model"
node.close()
"""


def test_its_images_and_its_model_are_gone_when_it_needs_them_no_more():
    done = subprocess.run([sys.executable, "-c", FREED], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_bearings_of_rectified_images_are_by_their_projection_matrix(start_tracker):
    tracker = start_tracker({"visible.rectified": True, "tracker.coast_score": 0.0})
    tracker.wait_for_state("active")
    info = CameraInfo(width=320, height=240, distortion_model="plumb_bob", d=[-0.3, 0.0, 0.0, 0.0, 0.0])
    info.k = [300.0, 0.0, 159.5, 0.0, 300.0, 119.5, 0.0, 0.0, 1.0]

    def send():
        tracker.publish("visible/camera_info", info)
        tracker.send_pair()

    def right():
        last = tracker.targets[-1]
        wanted = (last.x + last.width / 2 - 140) / focal if focal else math.nan
        return last.id == response.id and last.bearing_x == pytest.approx(wanted, nan_ok=True)

    tracker.show()
    response = tracker.init(BOX)
    focal = 0  # P is not given: not calibrated
    tracker.pump(right, "K counts", send)
    for focal in (250.0, 200.0):  # a new calibration may differ in P alone
        info.p = [focal, 0.0, 139.5, 0.0, 0.0, focal, 119.5, 0.0, 0.0, 0.0, 1.0, 0.0]
        tracker.pump(right, "P does not count", send)


SIGNALS = pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda number: number.name)


@pytest.fixture
def starting(start_tracker):
    """A node that goes to ACTIVE by itself."""
    return start_tracker({"tracker.coast_score": 0.0})


def ends_cleanly(tracker, number):
    code = tracker.end(number)
    assert code == 0 and "Traceback" not in tracker.log(), f"exit code {code}:\n{tracker.log()}"


@SIGNALS
@pytest.mark.parametrize("state", ["unconfigured", "inactive", "active"])
def test_a_signal_ends_it_cleanly(start_tracker, state, number):
    tracker = start_tracker({"autostart": False})
    if state != "unconfigured":
        assert tracker.transition("configure")
    if state == "active":
        assert tracker.transition("activate")
    assert tracker.state() == state
    ends_cleanly(tracker, number)


@SIGNALS
def test_a_signal_ends_it_cleanly_while_it_tracks(starting, number):
    starting.wait_for_state("active")
    starting.show()
    assert starting.init(BOX).success
    for _ in range(5):
        starting.send_pair()
    ends_cleanly(starting, number)


def test_a_signal_while_it_loads_the_model_ends_it_cleanly(starting):
    starting.until(lambda: "loading" in starting.log(), "it does not start by itself")
    ends_cleanly(starting, signal.SIGINT)


def test_a_signal_while_it_is_being_imported_ends_it_cleanly(starting):
    modules = f"/proc/{starting.process.pid}/maps"
    starting.until(lambda: "libtorch" in Path(modules).read_text(), "it does not import torch")
    ends_cleanly(starting, signal.SIGTERM)
