"""The node's image and calibration inputs: messages in, buffered frames out, and counts of all that happened."""

import time
from collections import Counter
from collections.abc import Callable
from copy import copy
from dataclasses import dataclass, field

import numpy as np
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rclpy.qos_overriding_options import QoSOverridingOptions
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from tpf_model.frame import Frame
from tpf_ros.bearings import Camera, camera_from_info
from tpf_ros.frame_buffer import BufferedFrame, FrameBuffer
from tpf_ros.image_decoding import decode_thermal, decode_visible
from tpf_ros.modality_health import Health, ModalityHealth
from tpf_ros.parameters import Settings, make_normaliser, make_registration, make_synchroniser
from tpf_ros.stamps import to_nanoseconds
from tpf_ros.synchroniser import Pair
from tpf_ros.worker import BothHealth, Source

# Newest image only: what waits in a queue is late already. Publishers of both kinds are heard.
SENSOR_QOS = QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)

_INPUTS = {"raw": (Image, "image"), "compressed": (CompressedImage, "image/compressed")}  # by transport
_REASONS = 20  # different ones that are counted by themselves


@dataclass
class StreamStatistics:
    """Messages of one camera since activation."""

    topic: str
    received: int = 0
    bad: Counter = field(default_factory=Counter)  # by reason
    last_bad: str = ""  # the newest one's reason
    last: int | None = None  # time.monotonic_ns() of the newest message
    stamp: int | None = None  # its stamp, ns
    repeats: int = 0  # messages with the stamp of the one before
    frame_id: str = ""  # its frame_id


class Inputs:
    """Subscribes on construction; `offer(frame)` gets each pair, or lone image, in the executor's thread.

    cameras: the calibrated ones, by stream; `on_camera()` is called when one, or the size of its images, changes.
    """

    def __init__(
        self,
        node: Node,
        settings: Settings,
        buffer: FrameBuffer,
        offer: Callable[[BufferedFrame], None],
        on_camera: Callable[[], None],
    ):
        self.cameras: dict[str, Camera | None] = {"visible": None, "thermal": None}
        self._node, self._buffer, self._offer, self._on_camera = node, buffer, offer, on_camera
        self._settings = settings
        self._number = 0
        self._sizes: dict[str, tuple[int, int]] = {}  # of each stream's last image
        self.synchroniser = make_synchroniser(settings)
        self.health = ModalityHealth(settings.health)
        self._normalise = make_normaliser(settings)
        self._infos: dict[str, tuple] = {}
        self._last_misfits = ""  # what was warned of
        self._subscriptions = []
        try:
            self.statistics = {
                "visible": self._subscribe("visible", settings.visible.transport, self._on_visible),
                "thermal": self._subscribe("thermal", settings.thermal.transport, self._on_thermal),
            }
        except Exception:  # an override of the quality of service that is not possible
            self.close()
            raise

    def close(self) -> None:
        for subscription in self._subscriptions:
            self._node.destroy_subscription(subscription)
        self._subscriptions.clear()

    def apply(self, settings: Settings) -> None:
        """Use new settings from the next message on. Counts of the pairing begin anew where its settings change."""
        old, self._settings = self._settings, settings
        if (old.sync, old.health.silent_after) != (settings.sync, settings.health.silent_after):
            self.synchroniser = make_synchroniser(settings)
        if old.health != settings.health:
            self.health = ModalityHealth(settings.health)
        if old.thermal != settings.thermal:
            self._normalise = make_normaliser(settings)

    def let_out(self, stamp: int) -> bool:
        """Buffer the images that still wait for a partner; False where none of them can be that of `stamp` (ns)."""
        pairs = self.synchroniser.let_out(stamp, time.monotonic_ns())
        for pair in pairs:
            self._release(pair)
        return bool(pairs)

    def fitting(self, stream: str) -> Camera | None:
        """The calibrated camera, unless its camera_info is for images of another size than those received."""
        camera = self.cameras[stream]
        return None if camera is None or self._sizes.get(stream, camera.size) != camera.size else camera

    def misfits(self) -> str:
        """Which camera_info is for images of another size, and of which; empty where all fit."""
        return "; ".join(
            "{}/camera_info is for images of {}x{}, those received have {}x{}".format(
                stream, *camera.size, *self._sizes[stream]
            )
            for stream, camera in self.cameras.items()
            if camera is not None and self.fitting(stream) is None
        )

    def uncalibrated(self) -> str:
        """What is awaited of which camera_info; drivers without a calibration send one of zeros."""
        which = " and ".join(f"{stream}/camera_info" for stream, camera in self.cameras.items() if camera is None)
        return f"waits for {which} with a calibration: K not zero, P where the images are rectified"

    def distorted(self) -> list[str]:
        """The streams whose images show the lens's distortion, by their camera_info."""
        return [stream for stream, camera in self.cameras.items() if camera is not None and camera.is_distorted]

    def health_now(self) -> BothHealth:
        """(visible, thermal)."""
        now = time.monotonic_ns()
        return self.health.visible(now), self.health.thermal(now)

    def unheard(self, stream: str) -> str:
        """Why no image can come: nobody publishes any, or only what is of another type; empty where one could."""
        transport = getattr(self._settings, stream).transport
        kind, name = _INPUTS[transport]
        wanted = f"sensor_msgs/msg/{kind.__name__}"
        types = {publisher.topic_type for publisher in self._node.get_publishers_info_by_topic(f"{stream}/{name}")}
        if not types:
            return "nobody publishes there"
        if wanted in types:
            return ""
        return f"{', '.join(sorted(types))} is published there, {stream}.transport {transport} takes {wanted}"

    def _subscribe(self, stream: str, transport: str, callback: Callable) -> StreamStatistics:
        kind, topic = _INPUTS[transport]
        options = QoSOverridingOptions.with_default_policies()  # rclpy writes them into the profile it is given
        image = self._node.create_subscription(
            kind, f"{stream}/{topic}", callback, copy(SENSOR_QOS), qos_overriding_options=options
        )
        info = self._node.create_subscription(
            CameraInfo, f"{stream}/camera_info", lambda message: self._on_info(stream, message), SENSOR_QOS
        )
        self._subscriptions += [image, info]
        return StreamStatistics(image.topic_name)

    def _on_visible(self, message: Image | CompressedImage) -> None:
        health, add = self.health, self.synchroniser.add_visible
        self._receive("visible", message, decode_visible, health.heard_visible, health.see_visible, add)

    def _on_thermal(self, message: Image | CompressedImage) -> None:
        health, add = self.health, self.synchroniser.add_thermal
        self._receive("thermal", message, decode_thermal, health.heard_thermal, health.see_thermal, add)

    def _receive(self, stream: str, message, decode: Callable, heard: Callable, see: Callable, add: Callable) -> None:
        now, stamp = time.monotonic_ns(), to_nanoseconds(message.header.stamp)
        statistics = self.statistics[stream]
        statistics.received += 1
        statistics.repeats += stamp == statistics.stamp
        statistics.last, statistics.stamp, statistics.frame_id = now, stamp, message.header.frame_id
        heard(now, stamp)
        try:
            pixels = decode(message)
            see(pixels if stamp > 0 else None, stamp)
        except Exception as error:  # BadImage, mostly; but nothing that a camera sends may end the node
            see(None, stamp)
            return self._refuse(statistics, str(error))
        if stamp <= 0:  # it is the synchroniser that drops it
            self._refuse(statistics, f"stamp is {stamp * 1e-9:g} s, must be > 0")
        else:
            self._see_size(stream, (pixels.shape[1], pixels.shape[0]))
        for pair in add(stamp, (pixels, message.header.frame_id), now):
            self._release(pair)

    def _see_size(self, stream: str, size: tuple[int, int]) -> None:
        if self._sizes.get(stream) != size:
            self._sizes[stream] = size
            self._calibration_changed()

    def _refuse(self, statistics: StreamStatistics, reason: str) -> None:
        statistics.last_bad = reason
        if reason not in statistics.bad and len(statistics.bad) >= _REASONS:
            reason = "other reasons"
        statistics.bad[reason] += 1
        self._node.get_logger().warning(f"{statistics.topic}: message dropped: {reason}", throttle_duration_sec=5.0)

    def _release(self, pair: Pair) -> None:
        visible, visible_id = pair.visible or (None, "")
        thermal, thermal_id = pair.thermal or (None, "")
        if thermal is not None:
            thermal = self._normalise(thermal)
        self._number += 1
        frame_id = self._visible_frame_id(thermal_id) if visible is None else visible_id
        # An image that is here is no silence, however long ago it came.
        health = tuple(
            Health.OK if image is not None and one == Health.SILENT else one
            for image, one in zip((visible, thermal), self.health_now())
        )
        source = Source(self._number, frame_id, pair.difference, health)
        frame, offset = self._frame(visible, thermal), round(self._settings.sync.thermal_offset * 1e9)
        self._offer(self._buffer.append(frame, pair.visible_stamp, pair.thermal_stamp, source, offset))

    def _frame(self, visible: np.ndarray | None, thermal: np.ndarray | None) -> Frame:
        size = self._visible_size()
        if size == (0, 0):  # a lone thermal image
            registration = make_registration(self._settings)
            size = (0, 0) if registration is None else registration.extent(thermal.shape[::-1])
        return Frame(visible, thermal, size)

    def _visible_frame_id(self, thermal_id: str) -> str:
        """Of the camera whose pixels boxes are in; the thermal one's as long as nothing is known of the visible one."""
        known = self._visible_size() != (0, 0) or self._settings.registration.method == "homography"
        return self.statistics["visible"].frame_id if known else thermal_id

    def _visible_size(self) -> tuple[int, int]:
        """Of the last visible image; before the first, what its camera_info says, (0, 0) where there is none."""
        camera = self.cameras["visible"]
        return self._sizes.get("visible", (0, 0) if camera is None else camera.size)

    def _on_info(self, stream: str, info: CameraInfo) -> None:
        # Cameras repeat it with every image. Bytes, for a NaN is not equal to itself.
        numbers = (part.tobytes() for part in (info.d, info.k, info.p))
        content = (info.width, info.height, info.distortion_model, *numbers, info.binning_x, info.binning_y, info.roi)
        if self._infos.get(stream) == content:
            return
        self._infos[stream] = content
        self.statistics[stream].frame_id = info.header.frame_id  # until images say it
        try:
            self.cameras[stream] = camera_from_info(info, getattr(self._settings, stream).rectified)
        except ValueError as error:
            self.cameras[stream] = None
            self._node.get_logger().warning(f"{stream}/camera_info is not used: {error}")
        self._calibration_changed()

    def _calibration_changed(self) -> None:
        misfits = self.misfits()
        if misfits not in ("", self._last_misfits):
            self._last_misfits = misfits
            self._node.get_logger().warning(f"{misfits}; it is not used")
        self._on_camera()
