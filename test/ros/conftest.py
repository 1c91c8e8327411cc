"""The node as its own process over real DDS, with real publishers and clients in the test's process."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tpf_ros.dds_profile import image_profile

# Before rclpy reads them: nothing of a test leaves this machine, and no two test runs hear each other.
os.environ["ROS_AUTOMATIC_DISCOVERY_RANGE"] = "LOCALHOST"
os.environ["ROS_DOMAIN_ID"] = str(10 + os.getpid() % 90)
# Fast DDS reads it once in a process, before the first test that sends large images.
os.environ.update(image_profile())
# The tests send it to their child processes, which inherit being deaf to it: a shell's background jobs are.
signal.signal(signal.SIGINT, signal.default_int_handler)

PATIENCE = 240.0  # s until something that must happen counts as missing, on however busy a machine
PERIOD = 33_333_333  # ns


@pytest.fixture(scope="session")
def domain_id() -> int:
    """The DDS domain of this test run; it is in the environment, so child processes are in it too."""
    return int(os.environ["ROS_DOMAIN_ID"])


@pytest.fixture(scope="session")
def ros(domain_id):
    """rclpy, initialised for the whole run."""
    import rclpy
    from rclpy.signals import SignalHandlerOptions

    rclpy.init(args=[], signal_handler_options=SignalHandlerOptions.NO)
    yield rclpy
    rclpy.shutdown()


@pytest.fixture(scope="session")
def start_tracker(ros, tmp_path_factory):
    """start_tracker(parameters, arguments) -> TrackerProcess: a node of its own namespace, ended with the tests.

    "{namespace}" in an argument becomes that namespace.
    """
    started = []

    def start(parameters: dict | None = None, arguments: tuple[str, ...] = ()) -> TrackerProcess:
        namespace, folder = f"/test{len(started)}", tmp_path_factory.mktemp("node")
        arguments = [argument.format(namespace=namespace) for argument in arguments]
        tracker = TrackerProcess(ros, namespace, folder, parameters or {}, arguments)
        started.append(tracker)
        return tracker

    yield start
    for tracker in started:
        tracker.close()


class TrackerProcess:
    """The node's process, and a rclpy node of this process that hears and calls it.

    The default model, untrained: what these tests ask needs no tracking skill.
    """

    def __init__(self, ros, namespace: str, folder: Path, parameters: dict, arguments: list[str]):
        from diagnostic_msgs.msg import DiagnosticArray
        from rclpy.qos import QoSProfile

        from tpf_interfaces.msg import TrackedTarget

        self._ros, self.namespace = ros, namespace
        self.node = ros.create_node("test", namespace=namespace)
        self.targets: list[TrackedTarget] = []
        self.diagnostics: dict[str, str] = {}  # all values, merged
        self.levels: dict[str, tuple[bytes, str]] = {}  # level and message by the status' name
        self.compressed = False  # whether visible images are sent as JPEG
        self._stamp = time.time_ns()
        self._publishers, self._clients = {}, {}
        self.subscribe(TrackedTarget, "target", self.targets.append)
        self.node.create_subscription(DiagnosticArray, "/diagnostics", self._on_diagnostics, QoSProfile(depth=10))
        self.log_file = folder / "node.log"
        values = {"weights": "random", **parameters}
        command = [sys.executable, "-m", "tpf_ros", "--ros-args", "-r", f"__ns:={namespace}", *arguments]
        for name, value in values.items():
            command += ["-p", f"{name}:={str(value).lower() if isinstance(value, bool) else value}"]
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1"}
        with open(self.log_file, "w") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log, env=environment)

    # Lifecycle.

    def state(self) -> str:
        from lifecycle_msgs.srv import GetState

        return self.call(GetState, "get_state", GetState.Request()).current_state.label

    def wait_for_state(self, label: str) -> None:
        self.until(lambda: self.state() == label, f"the node is not {label}")

    def transition(self, label: str) -> bool:
        """configure, activate, deactivate, cleanup, shutdown; whether it succeeded."""
        from lifecycle_msgs.msg import Transition
        from lifecycle_msgs.srv import ChangeState

        request = ChangeState.Request(transition=Transition(label=label))
        return self.call(ChangeState, "change_state", request).success

    def end(self, number: int) -> int:
        """Send the signal and return the exit code."""
        self.process.send_signal(number)
        return self.process.wait(PATIENCE)

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(30)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self.node.destroy_node()

    def log(self) -> str:
        return self.log_file.read_text()

    # Talking to it.

    def subscribe(self, kind, name: str, callback: Callable):
        """A subscription to `~/name` of the node; rclpy's default quality of service."""
        return self.node.create_subscription(kind, f"tpf_tracker/{name}", callback, 50)

    def input_qos(self, topic: str):
        """The quality of service of the node's own subscription."""
        infos = lambda: self.node.get_subscriptions_info_by_topic(f"{self.namespace}/{topic}")
        self.until(infos, f"nobody subscribes to {topic}")
        return infos()[0].qos_profile

    def until(self, condition: Callable[[], bool], complaint: str, each: Callable[[], None] = lambda: None) -> None:
        """Spin until `condition()`, doing `each()` in every round."""
        deadline = time.monotonic() + PATIENCE
        while not condition():
            assert self.process.poll() is None, f"the node ended with {self.process.returncode}:\n{self.log()}"
            assert time.monotonic() < deadline, f"{complaint}; its log:\n{self.log()}"
            each()
            self.spin(0.03)

    def spin(self, seconds: float) -> None:
        """Handle what arrives for so long."""
        deadline = time.monotonic() + seconds
        while (rest := deadline - time.monotonic()) > 0:
            self._ros.spin_once(self.node, timeout_sec=rest)

    def call(self, kind, name: str, request):
        """Call the node's service and return the response."""
        if name not in self._clients:
            self._clients[name] = self._connect(kind, name)
        future = self._clients[name].call_async(request)
        self.until(future.done, f"{name} does not answer")
        return future.result()

    def _connect(self, kind, name: str):
        """A client that the node knows too: to one that it has not discovered yet, a response would be lost.

        Discovery is in order, so the node knows this client when it answers one that was made after it.
        """
        from lifecycle_msgs.srv import GetState

        client = self.node.create_client(kind, f"tpf_tracker/{name}")
        probe = self.node.create_client(GetState, "tpf_tracker/get_state")
        self.until(lambda: client.service_is_ready() and probe.service_is_ready(), f"there is no service {name}")
        asked = []  # (when, answer)

        def ask():
            if not asked or time.monotonic() > asked[-1][0] + 1:
                asked.append((time.monotonic(), probe.call_async(GetState.Request())))

        self.until(lambda: any(answer.done() for _, answer in asked), "get_state does not answer", ask)
        self.node.destroy_client(probe)
        return client

    def init(self, box, stamp: int = 0, image: int = 0):
        """~/init's response; stamp in ns."""
        from tpf_interfaces.srv import InitTarget
        from tpf_ros.stamps import to_stamp

        x, y, width, height = (float(value) for value in box)
        request = InitTarget.Request(x=x, y=y, width=width, height=height, image=image, stamp=to_stamp(stamp))
        return self.call(InitTarget, "init", request)

    def reset(self) -> None:
        """No target any more."""
        from std_srvs.srv import Trigger

        assert self.call(Trigger, "reset", Trigger.Request()).success
        self.pump(lambda: self.targets and self.targets[-1].state == 0, "the target is not forgotten")

    def set_parameters(self, **values) -> list:
        """The results, in order; `__` in a name stands for a dot."""
        from rcl_interfaces.srv import SetParameters
        from rclpy.parameter import Parameter

        parameters = [Parameter(name.replace("__", "."), value=value) for name, value in values.items()]
        request = SetParameters.Request(parameters=[parameter.to_parameter_msg() for parameter in parameters])
        return self.call(SetParameters, "set_parameters", request).results

    def _on_diagnostics(self, message) -> None:
        for status in message.status:
            if status.name.startswith(f"{self.namespace.lstrip('/')}/"):
                self.levels[status.name.split(": ")[1]] = status.level, status.message
                self.diagnostics.update({value.key: value.value for value in status.values})

    # Cameras.

    def publish(self, name: str, message) -> None:
        """Publish on a topic of the node's namespace, once somebody listens."""
        if name not in self._publishers:
            self._publishers[name] = self.node.create_publisher(type(message), name, 5)
        publisher = self._publishers[name]
        self.until(publisher.get_subscription_count, f"nobody listens to {name}")
        publisher.publish(message)

    def next_stamp(self, step: int = PERIOD) -> int:
        """The stamp of the next frame, ns."""
        self._stamp += step
        return self._stamp

    def send(self, visible: int | None = None, thermal: int | None = None, visible_image=None) -> None:
        """Publish the scene as seen by each camera that a stamp (ns) is given for; `visible_image` replaces it."""
        if visible is not None:
            pixels = scene(visible) if visible_image is None else visible_image
            message = image_message(pixels, visible, "visible_optical")
            if self.compressed:
                self.publish("visible/image/compressed", compressed_message(pixels, message.header))
            else:
                self.publish("visible/image", message)
        if thermal is not None:
            self.publish("thermal/image", image_message(scene(thermal)[::2, ::2, 1], thermal, "thermal_optical"))

    def send_pair(self) -> int:
        """Publish both images with the next stamp, and return it."""
        stamp = self.next_stamp()
        self.send(stamp, stamp)
        return stamp

    def pump(self, condition: Callable[[], bool], complaint: str, send: Callable[[], object] | None = None) -> None:
        """Send pairs (or call `send`) until `condition()`; sensors' messages may get lost, so never count on one."""
        self.until(condition, complaint, each=send or self.send_pair)

    def show(self) -> int:
        """Send pairs until one comes back, and return its stamp in ns."""
        from tpf_ros.stamps import to_nanoseconds

        sent = set()
        seen = len(self.targets)
        new = lambda: [t for t in self.targets[seen:] if to_nanoseconds(t.visible_stamp) in sent]
        self.pump(new, "no pair comes back", lambda: sent.add(self.send_pair()))
        return to_nanoseconds(new()[-1].visible_stamp)


def scene(stamp: int) -> np.ndarray:
    """(240, 320, 3) uint8: clutter with a bright square at (100, 80), 40 px, and noise that differs with the stamp."""
    noise = np.frombuffer(np.random.default_rng(stamp).bytes(_CLUTTER.size), np.uint8).reshape(_CLUTTER.shape)
    return _CLUTTER + noise // 20


_CLUTTER = np.random.default_rng(0).integers(40, 160, (30, 40, 3), np.uint8).repeat(8, axis=0).repeat(8, axis=1)
_CLUTTER[80:120, 100:140] = 240


def image_message(pixels: np.ndarray, stamp: int, frame_id: str):
    """sensor_msgs/Image of (H, W, 3) uint8, bgr8, or (H, W) uint8 or uint16."""
    from std_msgs.msg import Header

    from tpf_ros.image_encoding import encode_image
    from tpf_ros.stamps import to_stamp

    encoding = "bgr8" if pixels.ndim == 3 else {"uint8": "mono8", "uint16": "mono16"}[pixels.dtype.name]
    return encode_image(pixels, encoding, Header(stamp=to_stamp(stamp), frame_id=frame_id))


def compressed_message(pixels: np.ndarray, header):
    """sensor_msgs/CompressedImage of a bgr8 image, as image_transport makes it."""
    import cv2
    from sensor_msgs.msg import CompressedImage

    message = CompressedImage(header=header, format="bgr8; jpeg compressed bgr8")
    message.data.frombytes(cv2.imencode(".jpg", pixels)[1].tobytes())
    return message
