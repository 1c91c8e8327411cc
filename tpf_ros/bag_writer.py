"""Turn a visible and a thermal source (videos, folders of frames) into a rosbag2, as two cameras would record it.

Written with `rosbags`, so it needs no ROS installation. Visible images become sensor_msgs/Image bgr8, thermal ones
mono8, mono16 or 32FC1, or both sensor_msgs/CompressedImage. True boxes become `tpf_interfaces/TrackedTarget`, the type
of the node's own output: its x, y, width and height are those of our box files, so that a box comes back as the same
four floats; the centre of vision_msgs/Detection2D would not give them back to the last bit.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice, zip_longest
from math import nan
from pathlib import Path

import cv2
import numpy as np
from rosbags.rosbag2 import CompressionFormat, CompressionMode, StoragePlugin, Writer

from tpf_ros.bag_types import COMPRESSED, IMAGE, TARGET, TYPES, make_header
from tpf_ros.ground_truth import TrueBox
from tpf_ros.sources.source import Item, Source, SourceError

# A stamp of 0 means unstamped in ROS, so a video's first frame cannot keep its own time of 0 s.
START_STAMP = 1_000_000_000 * 10**9  # ns
LATEST_STAMP = 2**31 * 10**9 - 1  # ns; a stamp's seconds are an int32

BOXES_TOPIC = "/ground_truth"

_ENCODINGS = {(3, "uint8"): "bgr8", (2, "uint8"): "mono8", (2, "uint16"): "mono16", (2, "float32"): "32FC1"}
_JPEG = b"\xff\xd8"  # how the files begin


@dataclass(frozen=True)
class Stream:
    """What to write: the images, their topic and the frame_id.

    jpeg: quality 0..100 of a CompressedImage on the topic `<topic>/compressed`; images that are JPEG files already are
    taken as they are, those of 16 bits and floats stay raw. None: all are raw.
    """

    source: Source
    topic: str
    frame_id: str
    jpeg: int | None = None


def write_bag(
    path: Path,
    streams: list[Stream],
    first: int = 0,
    last: int | None = None,
    stamps: Sequence[Sequence[int]] | None = None,
    boxes: Sequence[TrueBox] = (),
    storage: str = "mcap",
) -> int:
    """Write images `first`..`last` (0-based, inclusive; None = to the end) of every stream; return how many of each.

    stamps: ns, of each image number one for each stream; None: START_STAMP plus the first stream's own, because images
    of one number belong together. boxes: true boxes in the first stream's pixels, on BOXES_TOPIC, each with the stamp
    of its image. storage: mcap or sqlite3.

    SourceError names a source that cannot be read, that has no image `first`, or that ends before the others, an image
    whose size, type or stamp does not go on from the one before; rosbags' WriterError an existing `path`.
    """
    writer = Writer(path, version=9, storage_plugin=StoragePlugin[storage.upper()])
    if storage == "mcap":  # rosbags compresses sqlite3's files or messages, which needs a plugin to be played
        writer.set_compression(CompressionMode.STORAGE, CompressionFormat.ZSTD)
    count = 0
    with writer:
        outputs = [_Output(writer, stream) for stream in streams]
        truth = _Truth(writer, boxes, streams[0].frame_id)
        stop = None if last is None else last + 1
        for items in zip_longest(*(islice(stream.source, first, stop) for stream in streams)):
            for index, (output, item) in enumerate(zip(outputs, items)):
                if item is None:
                    raise SourceError(
                        f"{output.stream.source.name} ends after {first + count} images, before the other source"
                    )
                if stamps is None:
                    stamp = START_STAMP + (items[0] or item).stamp_ns
                else:
                    stamp = stamps[first + count][index]
                size = output.write(stamp, item)
                if index == 0:
                    truth.write(first + count, stamp, size)
            count += 1
    if not count:
        raise SourceError(f"{streams[0].source.name} has no image {first}")
    return count


class _Output:
    """A stream's connections in the bag; made for the first image, whose type and size all have."""

    def __init__(self, writer: Writer, stream: Stream):
        self._writer, self.stream = writer, stream
        self._image = self._kind = None
        self._stamp = 0

    def write(self, stamp: int, item: Item) -> tuple[int, int]:
        """Write one image; return its (width, height)."""
        image = item.load()
        height, width = image.shape[:2]
        encoding = _ENCODINGS[image.ndim, image.dtype.name]
        if not self._stamp < stamp <= LATEST_STAMP:
            raise SourceError(
                f"{item.name}: its stamp {stamp} ns must be greater than the one before, {self._stamp}, and less than "
                "2**31 s"
            )
        self._stamp = stamp
        kind = f"{width}x{height} {encoding}"
        if self._image is None:
            self._kind = kind
            self._open(encoding)
        if kind != self._kind:
            raise SourceError(f"{item.name} is {kind}, those before are {self._kind}")
        header = make_header(stamp, self.stream.frame_id)
        bgr = np.ascontiguousarray(image[..., ::-1] if encoding == "bgr8" else image)
        if self._image.msgtype == COMPRESSED:
            message = self._compress(header, bgr, encoding, item)
        else:
            data = bgr.reshape(-1).view(np.uint8)
            message = TYPES.types[IMAGE](header, height, width, encoding, 0, bgr.strides[0], data)
        self._writer.write(self._image, stamp, TYPES.serialize_cdr(message, self._image.msgtype))
        return width, height

    def _open(self, encoding: str) -> None:
        topic = self.stream.topic
        if self.stream.jpeg is not None and encoding in ("bgr8", "mono8"):
            self._image = self._writer.add_connection(f"{topic}/compressed", COMPRESSED, typestore=TYPES)
        else:
            self._image = self._writer.add_connection(topic, IMAGE, typestore=TYPES)

    def _compress(self, header, bgr: np.ndarray, encoding: str, item: Item):
        data = item.encoded() if item.encoded is not None else b""
        if not data.startswith(_JPEG):
            data = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, self.stream.jpeg])[1]
        form = f"{encoding}; jpeg compressed {'bgr8' if encoding == 'bgr8' else ''}"
        return TYPES.types[COMPRESSED](header, form, np.frombuffer(data, np.uint8))


class _Truth:
    """The connection of the true boxes."""

    def __init__(self, writer: Writer, boxes: Sequence[TrueBox], frame_id: str):
        self._writer, self._frame_id = writer, frame_id
        self._boxes = {box.frame: box for box in boxes}
        self._connection = writer.add_connection(BOXES_TOPIC, TARGET, typestore=TYPES) if boxes else None

    def write(self, frame: int, stamp: int, size: tuple[int, int]) -> None:
        if frame in self._boxes:
            message = _target(make_header(stamp, self._frame_id), self._boxes[frame], size)
            self._writer.write(self._connection, stamp, TYPES.serialize_cdr(message, TARGET))


def _target(header, true: TrueBox, size: tuple[int, int]):
    """A TrackedTarget; of an absent target, state LOST, the box file's numbers are kept, too."""
    kind = TYPES.types[TARGET]
    x, y, w, h = true.box
    return kind(
        header=header,
        state=kind.TRACKING if true.visible else kind.LOST,
        id=1,
        x=x,
        y=y,
        width=w,
        height=h,
        x_norm=x / size[0],
        y_norm=y / size[1],
        width_norm=w / size[0],
        height_norm=h / size[1],
        bearing_x=nan,
        bearing_y=nan,
        angular_width=nan,
        angular_height=nan,
        confidence=1.0 if true.visible else 0.0,
        visible_stamp=header.stamp,
        thermal_stamp=TYPES.types["builtin_interfaces/msg/Time"](0, 0),
        sync_error=nan,
        visible_health=kind.HEALTH_OK,
        thermal_health=kind.HEALTH_OK,
        latency=nan,
    )
