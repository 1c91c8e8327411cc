"""When each image of a bag is due in a replay, and what stamp it gets.

Messages stay the bag's own serialised bytes. Each is due when it was recorded, relative to the first one and divided by
the rate, so recorded delays and jitter stay. Only stamps change: at rate 1 the first visible message is stamped with
the time it is due. All others keep their distance to it, at any rate, so that what is a pair, and what time passes
between two frames, is as in the bag. Needs no ROS installation.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tpf_ros.bag_types import COMPRESSED, IMAGE
from tpf_ros.sources.bag import open_reader

_PERIOD = 1_000_000_000  # ns, of a single visible image that is played again
STAMPED_TYPES = {
    IMAGE: "image",
    COMPRESSED: "image",
    "sensor_msgs/msg/CameraInfo": "info",
}


def read_stamp(message: bytes) -> int:
    """The header stamp in ns of a serialised message whose first field is a Header."""
    seconds, nanoseconds = struct.unpack_from(_stamp_format(message), message, 4)
    return seconds * 10**9 + nanoseconds


def restamp(message: bytes, stamp: int) -> bytes:
    """A copy of a serialised message whose first field is a Header, with the stamp replaced (ns).

    CDR: 4 bytes of encapsulation, of which the second's lowest bit says little-endian, then the stamp's int32 and
    uint32.
    """
    copy = bytearray(message)
    struct.pack_into(_stamp_format(message), copy, 4, stamp // 10**9, stamp % 10**9)
    return bytes(copy)


def _stamp_format(message: bytes) -> str:
    return "<iI" if message[1] & 1 else ">iI"


@dataclass(frozen=True)
class Scheduled:
    """A message, when it is due, and its new stamp, in ns from the start of the replay and of the bag."""

    stream: str  # visible | thermal
    kind: str  # image | info
    frame: int  # index of the stream's image, of the last one before it for an info
    repeat: int  # pass over the bag, from 0
    due: int
    stamp: int
    message: bytes


def schedule(bag: Path, topics: dict[str, str], passes: int = 1, rate: float = 1.0) -> Iterator[Scheduled]:
    """Yield the messages of `topics` (bag topic -> stream) in recorded order, `passes` times (0 = without end).

    A further pass starts one mean visible period after the last message of the one before.
    """
    with open_reader(bag) as reader:
        chosen = [c for c in reader.connections if c.topic in topics and c.msgtype in STAMPED_TYPES]
        visible = [c for c in chosen if topics[c.topic] == "visible" and STAMPED_TYPES[c.msgtype] == "image"]
        _, begin, _ = next(reader.messages(chosen))
        _, first_visible, message = next(reader.messages(visible))
        stamp_offset = first_visible - begin - read_stamp(message)
        repeat = shift = 0
        while repeat < passes or passes == 0:
            counts = {"visible": -1, "thermal": -1}
            for connection, recorded, message in reader.messages(chosen):
                stream, kind = topics[connection.topic], STAMPED_TYPES[connection.msgtype]
                counts[stream] += kind == "image"
                if connection in visible:
                    last_visible = recorded
                due = round((recorded - begin + shift) / rate)
                stamp = read_stamp(message) + stamp_offset + shift
                yield Scheduled(stream, kind, counts[stream], repeat, due, stamp, message)
            # `recorded` is the last message of these topics; others in the bag may go on.
            shift += recorded - begin + ((last_visible - first_visible) // max(1, counts["visible"]) or _PERIOD)
            repeat += 1


def with_info_topics(visible: str, thermal: str) -> dict[str, str]:
    """The stream of each topic: the two image topics, and the CameraInfo beside each, where camera drivers put it."""
    streams = {visible: "visible", thermal: "thermal"}
    infos = {f"{t.removesuffix('/compressed').rsplit('/', 1)[0]}/camera_info": s for t, s in streams.items()}
    return {**infos, **streams}
