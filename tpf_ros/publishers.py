"""What the node publishes about a `Result`: the target, detections, confidence and, where someone listens, images."""

import importlib.util
from copy import copy

from rclpy.lifecycle import LifecycleNode
from rclpy.qos import QoSProfile
from rclpy.qos_overriding_options import QoSOverridingOptions
from sensor_msgs.msg import Image
from std_msgs.msg import Float32, Header

from tpf_interfaces.msg import TrackedTarget
from tpf_model.pair import whole_pair
from tpf_model.tracker import State
from tpf_ros.bearings import Camera
from tpf_ros.drawing import draw_overlay
from tpf_ros.image_encoding import encode_image
from tpf_ros.target_message import target_message
from tpf_ros.worker import Result

_QOS = QoSProfile(depth=10)
_IMAGE_QOS = QoSProfile(depth=1)


class Publishers:
    """Publishers of a lifecycle node; `publish` is for the worker's thread. fused_region: search | frame."""

    def __init__(self, node: LifecycleNode, fused_region: str):
        self.fused_region = fused_region
        self.camera: Camera | None = None
        self._node = node
        self._all = []
        try:
            self._create_all(node)
        except Exception:  # an override of the quality of service that is not possible
            self.close()
            raise

    def _create_all(self, node: LifecycleNode) -> None:
        self._target = self._create(TrackedTarget, "target", _QOS)
        self._confidence = self._create(Float32, "confidence", _QOS)
        self._fused = self._create(Image, "fused_image", _IMAGE_QOS)
        self._debug = self._create(Image, "debug_image", _IMAGE_QOS)
        self._detections = None
        if importlib.util.find_spec("vision_msgs"):
            from vision_msgs.msg import Detection2DArray

            self._detections = self._create(Detection2DArray, "detections", _QOS)
        else:
            node.get_logger().info("vision_msgs is not installed: ~/detections and ~/init_box are left out")

    def close(self) -> None:
        for publisher in self._all:
            self._node.destroy_lifecycle_publisher(publisher)

    def publish(self, result: Result) -> float:
        """Publish all that `result` says; return the latency in s, NaN before the first image."""
        message = target_message(result, self.camera, self._node.get_clock().now().nanoseconds)
        self._target.publish(message)
        self._confidence.publish(Float32(data=message.confidence))
        if self._detections is not None:
            from tpf_ros.detections import detections_message

            self._detections.publish(detections_message(result))
        if not result.stale:
            self._publish_fused(result, message.header)
        self._publish_debug(result, message)
        return message.latency

    def _create(self, kind: type, name: str, qos: QoSProfile):
        options = QoSOverridingOptions.with_default_policies()  # rclpy writes them into the profile it is given
        publisher = self._node.create_lifecycle_publisher(kind, f"~/{name}", copy(qos), qos_overriding_options=options)
        self._all.append(publisher)
        return publisher

    def _publish_fused(self, result: Result, header: Header) -> None:
        if not self._fused.get_subscription_count():
            return
        if self.fused_region == "search" and result.estimate is not None:
            self._fused.publish(encode_image(result.estimate.fused_image(), "rgb8", header))
        elif self.fused_region == "frame" and result.fuse is not None:
            self._fused.publish(encode_image(result.fuse(), "rgb8", header))

    def _publish_debug(self, result: Result, message: TrackedTarget) -> None:
        """The visible image, or the thermal one where that is missing, in visible pixels, with the box and the state.

        The last one again where no image comes any more: the state is another then.
        """
        if result.seen is None or not self._debug.get_subscription_count():
            return
        frame = result.frame or result.seen.frame
        image = whole_pair(frame, result.registration)[0] if frame.visible is None else frame.visible
        score = None if result.state is State.IDLE else result.score
        lines = (f"latency {message.latency * 1e3:.0f} ms", *_complaints(result))
        drawn = draw_overlay(image, result.box, result.state.name.lower(), score, lines)
        self._debug.publish(encode_image(drawn, "rgb8", message.header))


def _complaints(result: Result) -> list[str]:
    names = zip(("visible", "thermal"), result.health)
    return [f"{name}: {health.name.lower()}" for name, health in names if health]
