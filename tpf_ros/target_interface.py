"""The services and topics through which others choose the target."""

import importlib.util
from collections.abc import Callable
from dataclasses import replace

from geometry_msgs.msg import Point, PointStamped
from rclpy.lifecycle import LifecycleNode
from rclpy.qos import QoSProfile
from sensor_msgs.msg import RegionOfInterest
from std_srvs.srv import SetBool, Trigger

from tpf_interfaces.srv import InitTarget
from tpf_model.boxes import Box
from tpf_ros.stamps import to_nanoseconds
from tpf_ros.target_requests import OK, THERMAL, VISIBLE, Drawn, Refused

_QOS = QoSProfile(depth=10)


class TargetInterface:
    """Answers at once, whatever the worker does: what is wrong with a request is known before the model sees it.

    init(drawn) -> id of the new target, or Refused. reset() and set_enabled(bool) -> None, or Refused.
    thermal_frame_id() tells boxes on the thermal image from others. click_size(): px.
    """

    def __init__(
        self,
        node: LifecycleNode,
        init: Callable[[Drawn], int],
        reset: Callable[[], None],
        set_enabled: Callable[[bool], None],
        thermal_frame_id: Callable[[], str],
        click_size: Callable[[], float],
    ):
        self._log = node.get_logger()
        self._init, self._reset, self._set_enabled = init, reset, set_enabled
        self._thermal_frame_id, self._click_size = thermal_frame_id, click_size
        node.create_service(InitTarget, "~/init", self._on_init)
        node.create_service(Trigger, "~/reset", self._on_reset)
        node.create_service(SetBool, "~/set_enabled", self._on_set_enabled)
        node.create_subscription(RegionOfInterest, "~/init_roi", self._on_roi, _QOS)
        node.create_subscription(PointStamped, "~/click", self._on_click, _QOS)
        # Where rqt_image_view publishes clicks on ~/debug_image.
        node.create_subscription(Point, "~/debug_image_mouse_left", self._on_mouse, _QOS)
        if importlib.util.find_spec("vision_msgs"):
            from vision_msgs.msg import Detection2D

            node.create_subscription(Detection2D, "~/init_box", self._on_detection, _QOS)

    def _on_init(self, request: InitTarget.Request, response: InitTarget.Response) -> InitTarget.Response:
        box = request.x, request.y, request.width, request.height
        try:
            response.id = self._init(Drawn(box, request.image, to_nanoseconds(request.stamp)))
        except Refused as refused:
            self._log.warning(f"~/init refused: {refused}")
            response.success, response.error_code, response.message = False, refused.code, str(refused)
        else:
            response.success, response.error_code = True, OK
        return response

    def _on_reset(self, _: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        return self._answer(response, self._reset)

    def _on_set_enabled(self, request: SetBool.Request, response: SetBool.Response) -> SetBool.Response:
        return self._answer(response, lambda: self._set_enabled(request.data))

    def _answer(self, response, action: Callable[[], None]):
        try:
            action()
        except Refused as refused:
            response.success, response.message = False, str(refused)
        else:
            response.success = True
        return response

    def _on_roi(self, roi: RegionOfInterest) -> None:
        self._try("~/init_roi", Drawn((roi.x_offset, roi.y_offset, roi.width, roi.height)))

    def _on_click(self, point: PointStamped) -> None:
        drawn = self._drawn(self._box_around(point.point), point.header)
        self._try("~/click", replace(drawn, clicked=True))

    def _on_mouse(self, point: Point) -> None:
        self._try("~/debug_image_mouse_left", Drawn(self._box_around(point)))

    def _box_around(self, point: Point) -> Box:
        side = self._click_size()
        return point.x - side / 2, point.y - side / 2, side, side

    def _on_detection(self, detection) -> None:
        from tpf_ros.detections import detection_box

        self._try("~/init_box", self._drawn(detection_box(detection), detection.header))

    def _drawn(self, box: Box, header) -> Drawn:
        """A box on the thermal image says so by its frame_id; any other frame_id, or none, means the visible one."""
        on_thermal = header.frame_id != "" and header.frame_id == self._thermal_frame_id()
        return Drawn(box, THERMAL if on_thermal else VISIBLE, to_nanoseconds(header.stamp))

    def _try(self, topic: str, drawn: Drawn) -> None:
        try:
            self._init(drawn)
        except Refused as refused:
            self._log.warning(f"{topic} refused: {refused}")
