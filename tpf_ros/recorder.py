"""Records what the tracker node publishes, each with the moment of its receipt."""

import time
from pathlib import Path

from diagnostic_msgs.msg import DiagnosticArray
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import Image

from tpf_interfaces.msg import TrackedTarget
from tpf_ros.image_decoding import decode_visible
from tpf_ros.parameter_file import NODE
from tpf_ros.recording import Published
from tpf_ros.stamps import to_nanoseconds
from tpf_ros.video_writer import VideoWriter

_FUSED_RATE = 30.0  # frames a second at most
STATE_NAMES = {getattr(TrackedTarget, name): name.lower() for name in ("IDLE", "TRACKING", "COASTING", "LOST", "ERROR")}


class Recorder:
    """Keeps what the node publishes, received through the rclpy node `node`: `published`, and the last `diagnostics`.

    The node repeats its last result while no image comes; a repetition (same stamp and id) is not recorded. With
    `fused`, the fused images are written to that video, each shown until the next one came.
    """

    def __init__(self, node, namespace: str = "/", fused: Path | None = None):
        private = f"{namespace.rstrip('/')}/{NODE}"
        self.published: list[Published] = []
        self.newest: Published | None = None
        self.diagnostics: dict[str, str] = {}
        self._reports = f"{private.lstrip('/')}: "
        self.results = 0  # of `published`, those with a target
        self.fused_images = 0
        self._seen: set[tuple[int, int]] = set()
        # Best effort accepts both kinds of publisher; the depth is for the moments in which this process is busy.
        qos = QoSProfile(depth=100, reliability=ReliabilityPolicy.BEST_EFFORT)
        node.create_subscription(TrackedTarget, f"{private}/target", self._on_target, qos)
        node.create_subscription(DiagnosticArray, "/diagnostics", self._on_diagnostics, qos)
        self._fused = VideoWriter(fused, _FUSED_RATE) if fused else None
        if fused:
            node.create_subscription(Image, f"{private}/fused_image", self._on_fused, qos)

    def close(self) -> None:
        if self._fused:
            self._fused.close()

    def _on_target(self, message: TrackedTarget) -> None:
        received = time.time_ns()
        stamp = to_nanoseconds(message.header.stamp)
        if not stamp or (stamp, message.id) in self._seen:  # without a stamp: no image has come yet
            return
        self._seen.add((stamp, message.id))
        self.newest = Published(
            stamp,
            received,
            message.id,
            (message.x, message.y, message.width, message.height),
            message.confidence,
            STATE_NAMES[message.state],
            message.latency,
            message.sync_error,
        )
        self.published.append(self.newest)
        self.results += message.id > 0

    def _on_diagnostics(self, message: DiagnosticArray) -> None:
        for status in message.status:
            if status.name.startswith(self._reports):  # another node of this name may run elsewhere
                self.diagnostics.update({value.key: value.value for value in status.values})

    def _on_fused(self, message: Image) -> None:
        self.fused_images += 1
        self._fused.write(decode_visible(message), time.monotonic_ns())
