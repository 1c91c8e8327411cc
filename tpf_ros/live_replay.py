"""Runs a replay: the node and the player as processes of their own, the recorder and the initialisation in this one."""

import json
import os
import sys
import threading
import time
from collections import deque
from contextlib import ExitStack, contextmanager
from dataclasses import replace

import rclpy
from rclpy.exceptions import InvalidNamespaceException
from rclpy.executors import SingleThreadedExecutor
from rclpy.signals import SignalHandlerOptions
from rclpy.validate_namespace import validate_namespace

from tpf_interfaces.srv import InitTarget
from tpf_model.timing.peak_memory import peak_memory
from tpf_ros.child_process import ChildFailed, ChildProcess
from tpf_ros.command_error import CommandError
from tpf_ros.dds_profile import image_profile
from tpf_ros.modality_health import HealthConfig
from tpf_ros.node_process import activate, start_node
from tpf_ros.parameter_file import NODE
from tpf_ros.recorder import Recorder
from tpf_ros.recording import Plan, Published, Recording, Sent
from tpf_ros.sources.bag import open_reader
from tpf_ros.stamps import to_stamp
from tpf_ros.status_line import StatusLine

DISCOVERY = 30.0  # s that the player and the node may take to find each other
DRAIN = 2.0  # s without a result after which none is expected any more
# Diagnostics that compare stamps with the node's clock; both run at one speed at rate 1 only.
_BY_CLOCK = ("latency", "sync.thermal_offset by arrival")


def check_namespace(namespace: str) -> None:
    """CommandError for one that no node can have."""
    try:
        validate_namespace(namespace)
    except InvalidNamespaceException as error:
        raise CommandError(f"--namespace {namespace} cannot be one: {' '.join(str(error).split())}") from error


def run_replay(plan: Plan) -> Recording:
    """Run `plan` and return what came out; the processes' logs go to `plan.out`.

    ChildFailed when a process ends early, the node does not become ACTIVE, refuses the first initialisation or
    publishes nothing.
    """
    os.environ.setdefault("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
    os.environ.update(image_profile())  # for the children
    with ExitStack() as stack:
        observer = stack.enter_context(_observer(plan.namespace))
        _refuse_other_publishers(observer, plan.namespace)
        begin = time.monotonic()
        node = start_node(plan.out / "node.log", plan.namespace, node_parameters(plan), plan.params_file)
        stack.callback(node.stop)
        activate(observer, node, plan.namespace)
        startup = time.monotonic() - begin
        recorder = Recorder(observer, plan.namespace, plan.out / "fused.mp4")
        stack.callback(recorder.close)
        player = Player(plan)
        stack.callback(player.process.stop)
        refused = _play(plan, observer, node, player, recorder)
        return Recording(
            plan,
            *([player.timed(sent) for sent in player.sent[stream]] for stream in ("visible", "thermal")),
            [player.timed(result) for result in recorder.published],
            {key: v for key, v in recorder.diagnostics.items() if plan.rate == 1 or not key.startswith(_BY_CLOCK)},
            recorder.fused_images,
            refused,
            startup,
            peak_memory(node.pid),
        )


@contextmanager
def _observer(namespace: str):
    rclpy.init(args=[], signal_handler_options=SignalHandlerOptions.NO)
    observer = rclpy.create_node("tpf_replay", namespace=namespace)
    executor = SingleThreadedExecutor()
    executor.add_node(observer)
    try:
        yield observer
    finally:
        executor.shutdown()
        observer.destroy_node()
        rclpy.shutdown()


def _refuse_other_publishers(observer, namespace: str) -> None:
    """A camera or another replay on the same topics would mix its images with the bag's."""
    end = time.monotonic() + 1.0  # discovery
    while time.monotonic() < end:
        observer.executor.spin_once(0.1)
    for name in ("visible/image", "thermal/image", "visible/image/compressed", "thermal/image/compressed"):
        topic = f"{namespace.rstrip('/')}/{name}"
        if observer.count_publishers(topic):
            raise ChildFailed(
                f"{topic} already has a publisher; stop it, or choose another --namespace or ROS_DOMAIN_ID"
            )


def node_parameters(plan: Plan) -> dict[str, object]:
    """The node's parameters, in whatever namespace the file has them, and what playing the bag asks for."""
    given = plan.parameter_values()
    values = {**given, **_transports(plan), **{name: given[name] for name in plan.parameters}}
    silent_after = values.get("health.silent_after", HealthConfig().silent_after)
    if isinstance(silent_after, (int, float)):  # else the node refuses it
        # The only limit on its inputs that the node counts by its own clock; all others go by the stamps.
        values["health.silent_after"] = silent_after / plan.rate
    return {**values, "use_sim_time": False}  # nobody publishes a /clock, and without there is no latency


def _transports(plan: Plan) -> dict[str, str]:
    """The node's transport parameters, by the types of the bag's topics."""
    with open_reader(plan.bag) as reader:
        types = {connection.topic: connection.msgtype for connection in reader.connections}
    return {
        f"{stream}.transport": "compressed" if types[topic].endswith("CompressedImage") else "raw"
        for stream, topic in (("visible", plan.visible), ("thermal", plan.thermal))
    }


class Player:
    """The process that publishes the bag (`bag_player.py`), and what it has `sent` so far, by stream."""

    def __init__(self, plan: Plan):
        command = [sys.executable, "-m", "tpf_ros.bag_player", str(plan.bag)]
        command += ["--visible", plan.visible, "--thermal", plan.thermal, "--namespace", plan.namespace]
        command += ["--rate", str(plan.rate), "--passes", str(plan.passes), "--duration", str(plan.duration)]
        self.process = ChildProcess("player", command, plan.out / "player.log", pipe=True)
        self.sent: dict[str, deque[Sent]] = {"visible": deque(), "thermal": deque()}
        self.ready = self.ended = False
        self._first_frame, self._rate, self._begin = plan.first_frame, plan.rate, 0
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()

    def check(self) -> None:
        """ChildFailed if the process has ended before it has played everything."""
        if not self.process.is_running():
            self._listener.join()  # its last words may still be in the pipe
            if not self.ended:
                self.process.check()

    def timed(self, item: Sent | Published) -> Sent | Published:
        """`item` as published, with its stamp, and so the latency, by this machine's clock: when the image was due."""
        moment = self._begin + round((item.stamp - self._begin) / self._rate)
        if isinstance(item, Sent):
            return replace(item, stamp=moment)
        return replace(item, stamp=moment, latency=item.latency + (item.stamp - moment) / 1e9)

    def start(self) -> None:
        self.process.stdin.write("start\n")
        self.process.stdin.flush()

    def _listen(self) -> None:
        for line in self.process.stdout:
            message = json.loads(line)
            if "stream" in message:
                frame = self._first_frame + message["frame"]
                self.sent[message["stream"]].append(
                    Sent(frame, message["repeat"], message["stamp"], message["published"], message["late"])
                )
            else:
                self._begin = message.get("begin", self._begin)
                self.ready = self.ready or "ready" in message
                self.ended = self.ended or "end" in message


def _play(plan: Plan, observer, node: ChildProcess, player: Player, recorder: Recorder) -> int:
    """Start the player and stay until nothing more comes; return how many initialisations were refused."""
    initialiser = _Initialiser(plan, observer, node, player, recorder)
    status = StatusLine(lambda seconds: _status(seconds, player, recorder))

    def spin() -> None:
        observer.executor.spin_once(0.05)
        node.check()
        player.check()

    deadline = time.monotonic() + DISCOVERY
    while not player.ready:
        spin()
        if time.monotonic() > deadline:
            raise node.failure(f"does not listen to visible/image and thermal/image in {plan.namespace}")
    player.start()
    while not player.ended:
        spin()
        initialiser.step()
        status.show()
    quiet_since, newest = time.monotonic(), recorder.newest
    while time.monotonic() - quiet_since < DRAIN:
        spin()
        initialiser.step()
        if recorder.newest is not newest:
            quiet_since, newest = time.monotonic(), recorder.newest
    status.show(last=True)
    if not initialiser.done:
        raise node.failure(f"published nothing for frame {plan.init_frame} or later, so it was not initialised")
    return initialiser.refused


class _Initialiser:
    """Calls `~/init` once a pass: when the node has published something for the initial frame, or for a later one."""

    def __init__(self, plan: Plan, observer, node: ChildProcess, player: Player, recorder: Recorder):
        self._plan, self._node, self._player, self._recorder = plan, node, player, recorder
        service = f"{plan.namespace.rstrip('/')}/{NODE}/init"
        self._client = observer.create_client(InitTarget, service)
        self._future = None
        self._scanned = 0  # sent visible images looked at
        self._waiting: deque[int] = deque()  # stamps of initial frames
        self.done = self.refused = 0

    def step(self) -> None:
        sent = self._player.sent["visible"]
        while self._scanned < len(sent):
            if sent[self._scanned].frame == self._plan.init_frame:
                self._waiting.append(sent[self._scanned].stamp)
            self._scanned += 1
        newest = self._recorder.newest
        if self._waiting and self._future is None and newest and newest.stamp >= self._waiting[0]:
            self._future = self._client.call_async(self._request(self._waiting.popleft()))
        if self._future is not None and self._future.done():
            self._accept(self._future.result())
            self._future = None

    def _request(self, stamp: int) -> InitTarget.Request:
        x, y, width, height = self._plan.init_box
        return InitTarget.Request(
            stamp=to_stamp(stamp),
            x=x,
            y=y,
            width=width,
            height=height,
            image=InitTarget.Request.VISIBLE,
        )

    def _accept(self, response: InitTarget.Response) -> None:
        if response.success:
            self.done += 1
        elif self.done:  # in a later pass: the report says how often
            self.refused += 1
        else:
            raise self._node.failure(f"refused the target (error {response.error_code}): {response.message}")


def _status(seconds: float, player: Player, recorder: Recorder) -> str:
    line = f"{seconds:6.1f} s  sent {len(player.sent['visible'])}  results {recorder.results}"
    if recorder.newest:
        newest = player.timed(recorder.newest)
        line += f"  latency {newest.latency * 1e3:.0f} ms  {newest.state} {newest.score:.2f}"
    return line
