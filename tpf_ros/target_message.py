"""A worker's `Result` as a TrackedTarget message."""

import math

from builtin_interfaces.msg import Time
from std_msgs.msg import Header

from tpf_interfaces.msg import TrackedTarget
from tpf_ros.bearings import UNKNOWN, Camera
from tpf_ros.stamps import to_stamp
from tpf_ros.worker import Result


def source_header(result: Result) -> Header:
    """The image's stamp, and the frame_id of the camera whose pixels the box is in; empty before the first image."""
    if result.seen is None:
        return Header()
    return Header(stamp=to_stamp(result.seen.stamp), frame_id=result.seen.note.frame_id)


def target_message(result: Result, camera: Camera | None, now: int) -> TrackedTarget:
    """`result` in the message's terms. now: ROS time, ns, for the latency; 0 while simulated time has not begun."""
    message = TrackedTarget(header=source_header(result), state=int(result.state), id=result.id)
    message.confidence = result.score
    message.visible_health, message.thermal_health = map(int, result.health)
    _set_source(message, result, now)
    _set_box(message, result, camera)
    return message


def _set_source(message: TrackedTarget, result: Result, now: int) -> None:
    message.sync_error = message.latency = math.nan
    if result.seen is None:
        return
    message.visible_stamp = _stamp(result.seen.visible_stamp)
    message.thermal_stamp = _stamp(result.seen.thermal_stamp)
    if result.seen.note.difference is not None:
        message.sync_error = result.seen.note.difference * 1e-9
    if now:
        message.latency = (now - result.seen.time) * 1e-9


def _set_box(message: TrackedTarget, result: Result, camera: Camera | None) -> None:
    x, y, w, h = result.box or (math.nan,) * 4
    width, height = result.size if all(result.size) else (math.nan, math.nan)
    # A camera_info for another resolution says nothing about these pixels.
    calibrated = result.box is not None and camera is not None and camera.size == result.size
    bearing = camera.bearing(result.box) if calibrated else UNKNOWN
    message.x, message.y, message.width, message.height = x, y, w, h
    message.x_norm, message.y_norm = x / width, y / height
    message.width_norm, message.height_norm = w / width, h / height
    message.bearing_x, message.bearing_y = bearing.x, bearing.y
    message.angular_width, message.angular_height = bearing.width, bearing.height


def _stamp(nanoseconds: int | None) -> Time:
    return Time() if nanoseconds is None else to_stamp(nanoseconds)
