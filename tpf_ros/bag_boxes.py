"""The true boxes in a rosbag."""

from pathlib import Path

import numpy as np

from tpf_ros.bag_types import TARGET
from tpf_ros.bag_writer import BOXES_TOPIC
from tpf_ros.ground_truth import TrueBox
from tpf_ros.pair_stamps import pair_stamps
from tpf_ros.sources.bag import nearest, open_reader
from tpf_ros.sources.source import SourceError

ACCEPTED = (TARGET, "vision_msgs/msg/Detection2D", "vision_msgs/msg/Detection2DArray")
MAX_DIFFERENCE = 20_000_000  # ns, sync.max_difference's default
_ABSENT = (0.0, 0.0, 0.0, 0.0)


def find_boxes_topic(bag: Path, topic: str | None = None) -> str | None:
    """The topic of true boxes: `topic`, or BOXES_TOPIC if that is None; None where the bag does not have the latter.

    SourceError for one that is not there, with the nearest that is, or that is of none of the types ACCEPTED.
    """
    with open_reader(bag) as reader:
        types = {connection.topic: connection.msgtype for connection in reader.connections}
    wanted = BOXES_TOPIC if topic is None else "/" + topic.lstrip("/")
    if wanted not in types:
        if topic is None:
            return None
        there = ", ".join(f"{name} ({kind})" for name, kind in types.items()) or "none"
        raise SourceError(f"{bag} has no topic {wanted}{nearest(wanted, types)}; topics in it: {there}")
    if types[wanted] not in ACCEPTED:
        raise SourceError(f"{bag}:{wanted} is of type {types[wanted]}, true boxes are of {', '.join(ACCEPTED)}")
    return wanted


def read_bag_boxes(bag: Path, topic: str, stamps: np.ndarray, max_difference: int = MAX_DIFFERENCE) -> list[TrueBox]:
    """The boxes of `topic`, each with the index of the stamp in `stamps` (N,) ns that is nearest to its own.

    A target is absent in a TrackedTarget of another state than TRACKING, and in an array without detections. Boxes that
    are further than `max_difference` ns from any stamp, or not the nearest of several, are left out. The x and y of a
    detection come from its centre, which rounds them. SourceError names the message at fault.
    """
    name = f"{bag}:{topic}"
    with open_reader(bag) as reader:
        connections = [connection for connection in reader.connections if connection.topic == topic]
        try:
            messages = [reader.deserialize(raw, c.msgtype) for c, _, raw in reader.messages(connections)]
        except Exception as error:  # whatever its decompressors and parsers raise where bytes are wrong
            raise SourceError(f"{name} is damaged: {error}") from error
    if len(messages) != (count := sum(connection.msgcount for connection in connections)):
        raise SourceError(f"{name} is damaged: of its {count} messages {len(messages)} can be read")
    own = np.array([m.header.stamp.sec * 10**9 + m.header.stamp.nanosec for m in messages], dtype=np.int64)
    pairs = pair_stamps(stamps, own, max_difference)
    if not len(pairs):
        raise SourceError(
            f"{name}: none of its {len(own)} stamps is within {max_difference / 1e9:g} s of a visible image's"
        )
    read = _target if connections[0].msgtype == TARGET else _detection
    return [TrueBox(frame, *read(messages[i], f"{name}: message {i}")) for frame, i in sorted(pairs.tolist())]


def _target(message, name: str) -> tuple[tuple[float, float, float, float], bool]:
    box = (message.x, message.y, message.width, message.height)
    visible = message.state == message.TRACKING
    if not np.isfinite(box).all():
        if visible:
            raise SourceError(f"{name} has the box {box}, and state TRACKING")
        box = _ABSENT
    return box, visible


def _detection(message, name: str) -> tuple[tuple[float, float, float, float], bool]:
    found = getattr(message, "detections", [message])
    if len(found) > 1:
        raise SourceError(f"{name} holds {len(found)} detections, needs one target or none")
    if not found:
        return _ABSENT, False
    box = found[0].bbox
    centre = getattr(box.center, "position", box.center)  # a Pose2D before Humble
    numbers = (centre.x - box.size_x / 2, centre.y - box.size_y / 2, box.size_x, box.size_y)
    if not np.isfinite(numbers).all():
        raise SourceError(f"{name} has the box {numbers}")
    return numbers, True
