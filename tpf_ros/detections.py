"""The target as vision_msgs' Detection2DArray; to be imported only where vision_msgs is installed."""

from vision_msgs.msg import Detection2D, Detection2DArray, ObjectHypothesisWithPose

from tpf_model.boxes import Box
from tpf_model.tracker import State
from tpf_ros.target_message import source_header
from tpf_ros.worker import Result


def detections_message(result: Result) -> Detection2DArray:
    """One detection with the target's id while it is seen or held; none without a target, or while it is lost."""
    message = Detection2DArray(header=source_header(result))
    if result.state not in (State.TRACKING, State.COASTING):
        return message
    x, y, w, h = result.box
    detection = Detection2D(header=message.header, id=str(result.id))
    detection.bbox.center.position.x, detection.bbox.center.position.y = x + w / 2, y + h / 2
    detection.bbox.size_x, detection.bbox.size_y = w, h
    hypothesis = ObjectHypothesisWithPose()
    hypothesis.hypothesis.class_id, hypothesis.hypothesis.score = "target", result.score
    detection.results.append(hypothesis)
    message.detections.append(detection)
    return message


def detection_box(detection: Detection2D) -> Box:
    """Top-left corner and size of a detection's box."""
    centre = detection.bbox.center.position
    w, h = detection.bbox.size_x, detection.bbox.size_y
    return centre.x - w / 2, centre.y - h / 2, w, h
