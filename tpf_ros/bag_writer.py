"""Turn a visible and a thermal source (videos, folders of frames) into a rosbag2 (mcap), as two cameras would have
recorded it.

Written with `rosbags`, so it needs no ROS installation. Visible images become sensor_msgs/Image bgr8, thermal ones
mono8, mono16 or 32FC1.
"""

from dataclasses import dataclass
from itertools import islice, zip_longest
from pathlib import Path

import numpy as np
from rosbags.rosbag2 import CompressionFormat, CompressionMode, StoragePlugin, Writer
from rosbags.typesys import Stores, get_typestore

from tpf_ros.sources.source import Source, SourceError

# A stamp of 0 means unstamped in ROS, so a video's first frame cannot keep its own time of 0 s.
START_STAMP = 1_000_000_000 * 10**9  # ns

_TYPES = get_typestore(Stores.ROS2_HUMBLE)
_IMAGE, _INFO = "sensor_msgs/msg/Image", "sensor_msgs/msg/CameraInfo"
_ENCODINGS = {(3, "uint8"): "bgr8", (2, "uint8"): "mono8", (2, "uint16"): "mono16", (2, "float32"): "32FC1"}


@dataclass(frozen=True)
class Intrinsics:
    """A pinhole camera without distortion: focal lengths and principal point in pixels."""

    fx: float
    fy: float
    cx: float
    cy: float


@dataclass(frozen=True)
class Stream:
    """What to write: the images, their topic, the frame_id, and the camera's intrinsics where they are known."""

    source: Source
    topic: str
    frame_id: str
    intrinsics: Intrinsics | None = None


def write_bag(path: Path, streams: list[Stream], first: int = 0, last: int | None = None) -> int:
    """Write images `first`..`last` (0-based, inclusive; None = to the end) of every stream; return how many of each.

    Stamps are START_STAMP plus the sources' own. Where a stream has intrinsics, each image comes with a CameraInfo on
    the `camera_info` topic beside it. SourceError names a source that cannot be read, that has no image `first`, or
    that ends before the others; rosbags' WriterError an existing `path`.
    """
    writer = Writer(path, version=9, storage_plugin=StoragePlugin.MCAP)
    writer.set_compression(CompressionMode.STORAGE, CompressionFormat.ZSTD)
    count = 0
    with writer:
        outputs = [_Output(writer, stream) for stream in streams]
        stop = None if last is None else last + 1
        for items in zip_longest(*(islice(stream.source, first, stop) for stream in streams)):
            for output, item in zip(outputs, items):
                if item is None:
                    raise SourceError(
                        f"{output.stream.source.name} ends after {first + count} images, before the other source"
                    )
                output.write(START_STAMP + item.stamp_ns, item.load())
            count += 1
    if not count:
        raise SourceError(f"{streams[0].source.name} has no image {first}")
    return count


class _Output:
    """A stream's connections in the bag."""

    def __init__(self, writer: Writer, stream: Stream):
        self._writer, self.stream = writer, stream
        self._image = writer.add_connection(stream.topic, _IMAGE, typestore=_TYPES)
        self._info = None
        if stream.intrinsics is not None:
            info_topic = f"{stream.topic.rsplit('/', 1)[0]}/camera_info"
            self._info = writer.add_connection(info_topic, _INFO, typestore=_TYPES)

    def write(self, stamp: int, image: np.ndarray) -> None:
        header = _header(stamp, self.stream.frame_id)
        height, width = image.shape[:2]
        encoding = _ENCODINGS[image.ndim, image.dtype.name]
        pixels = np.ascontiguousarray(image[..., ::-1] if encoding == "bgr8" else image)
        data = pixels.reshape(-1).view(np.uint8)
        message = _TYPES.types[_IMAGE](header, height, width, encoding, 0, pixels.strides[0], data)
        self._writer.write(self._image, stamp, _TYPES.serialize_cdr(message, _IMAGE))
        if self._info is not None:
            message = _camera_info(header, width, height, self.stream.intrinsics)
            self._writer.write(self._info, stamp, _TYPES.serialize_cdr(message, _INFO))


def _header(stamp: int, frame_id: str):
    time = _TYPES.types["builtin_interfaces/msg/Time"](stamp // 10**9, stamp % 10**9)
    return _TYPES.types["std_msgs/msg/Header"](time, frame_id)


def _camera_info(header, width: int, height: int, camera: Intrinsics):
    k = np.array([camera.fx, 0, camera.cx, 0, camera.fy, camera.cy, 0, 0, 1], dtype=np.float64)
    p = np.hstack([k.reshape(3, 3), np.zeros((3, 1))]).ravel()
    roi = _TYPES.types["sensor_msgs/msg/RegionOfInterest"](0, 0, 0, 0, False)
    return _TYPES.types[_INFO](header, height, width, "plumb_bob", np.zeros(5), k, np.eye(3).ravel(), p, 0, 0, roi)
