"""One image topic of a rosbag (mcap, sqlite3, or of ROS 1), decoded as the node decodes it. Needs no ROS."""

import difflib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import numpy as np
from rosbags.highlevel import AnyReader

from tpf_ros.bad_image import BadImage
from tpf_ros.bag_types import COMPRESSED, IMAGE, TYPES
from tpf_ros.compressed_decoding import divides_counts
from tpf_ros.image_decoding import decode_thermal, decode_visible
from tpf_ros.sources.source import Item, Modality, SourceError

IMAGE_TYPES = (IMAGE, COMPRESSED)
ROS_1 = ".bag"
SUFFIXES = (".mcap", ".db3", ROS_1)


class BagSource:
    """The messages of `topic`, Image or CompressedImage, in the order in which they were recorded.

    Without a topic it is /MODALITY/image, or the only one that has the modality in its name, or the only one that has
    not the other's.
    """

    def __init__(self, path: Path, topic: str | None, modality: Modality):
        self._path, self._modality = path, modality
        with open_reader(path) as reader:
            counts = _image_topics(reader)
            self.topic = _choose(path, topic, modality, counts)
            self.count = counts[self.topic]
            self.name = f"{path}:{self.topic}"
            if not self.count:
                raise SourceError(f"{self.name} has no messages")
            seconds = self._duration(reader) / 1e9 if self.count > 1 else 0
        self.rate = (self.count - 1) / seconds if seconds else 1.0

    def __iter__(self) -> Iterator[Item]:
        with open_reader(self._path) as reader:
            index = 0
            for stamp, arrival, message in self._messages(reader):
                name = f"{self.name}: message {index}"
                yield Item(name, stamp, arrival, partial(self._decode, message, name), self._encoded(message))
                index += 1
            if index != self.count:  # rosbags passes over what it cannot make out
                raise SourceError(f"{self.name} is damaged: of its {self.count} messages {index} can be read")

    def stamps(self) -> np.ndarray:
        """(count,) int64 ns, of the headers; SourceError as in iterating."""
        return np.array([item.stamp_ns for item in self], dtype=np.int64)

    def rising_stamps(self) -> np.ndarray:
        """As `stamps`; SourceError names the first message without a stamp, or not later than the one before."""
        stamps = self.stamps()
        falls = np.flatnonzero(np.diff(stamps, prepend=0) <= 0)
        if len(falls):
            i = int(falls[0])
            before = f"after {stamps[i - 1]} ns" if i else "which is none"
            raise SourceError(f"{self.name}: message {i} has the stamp {stamps[i]} ns, {before}; stamps must rise")
        return stamps

    def _messages(self, reader: AnyReader) -> Iterator[tuple]:
        """(stamp, arrival, message) each."""
        try:
            for connection, arrival, raw in reader.messages(self._connections(reader)):
                message = reader.deserialize(raw, connection.msgtype)
                stamp = message.header.stamp
                yield stamp.sec * 10**9 + stamp.nanosec, arrival, message
        except Exception as error:  # whatever its decompressors and parsers raise where bytes are wrong
            raise SourceError(f"{self.name} is damaged: {error}") from error

    def _connections(self, reader: AnyReader) -> list:
        return [connection for connection in reader.connections if connection.topic == self.topic]

    def _duration(self, reader: AnyReader) -> int:
        """From the first message to the last one, ns. Other topics of the bag may begin earlier and go on longer."""
        connections = self._connections(reader)
        try:
            first = next((arrival for _, arrival, _ in reader.messages(connections)), None)
            if first is None:
                raise ValueError("none of its messages can be read")
            last, start, window = first, reader.end_time, 10**9
            while last == first < start:  # as little of the bag's end as will do
                start, window = max(first, reader.end_time - window), 4 * window
                for _, last, _ in reader.messages(connections, start=start):
                    pass
        except Exception as error:  # as in `_messages`
            raise SourceError(f"{self.name} is damaged: {error}") from error
        return last - first

    def _decode(self, message, name: str) -> np.ndarray:
        try:
            return decode_visible(message) if self._modality == "visible" else decode_thermal(message)
        except BadImage as error:
            raise SourceError(f"{name} is damaged: {error}") from error

    def _encoded(self, message) -> Callable[[], bytes] | None:
        if not hasattr(message, "format"):
            return None
        visible = self._modality == "visible"
        other = "compressed rgb" in message.format if visible else divides_counts(message.format)
        return None if other else partial(bytes, message.data)


@contextmanager
def open_reader(path: Path) -> Iterator[AnyReader]:
    """A reader of the bag; SourceError where it is none."""
    try:
        reader = AnyReader(bag_files(path), default_typestore=TYPES)
        reader.open()
    except Exception as error:  # whatever its parsers raise where bytes are wrong
        raise SourceError(f"{path} is not a rosbag that can be read: {error}") from error
    try:
        yield reader
    finally:
        reader.close()


def is_bag(path: Path) -> bool:
    """A rosbag's file, or a directory of them."""
    return (path / "metadata.yaml").is_file() or bool(bag_files(path))


def bag_files(path: Path) -> list[Path]:
    """What to open for `path`: itself, or the files of a directory whose recorder left no metadata.yaml behind."""
    if path.suffix in SUFFIXES or (path / "metadata.yaml").is_file():
        return [path]
    return sorted(file for suffix in SUFFIXES for file in path.glob(f"*{suffix}"))


def _image_topics(reader: AnyReader) -> dict[str, int]:
    """Number of messages by image topic."""
    counts: dict[str, int] = {}
    for connection in reader.connections:
        if connection.msgtype in IMAGE_TYPES:
            counts[connection.topic] = counts.get(connection.topic, 0) + connection.msgcount
    return counts


def nearest(topic: str, topics: Iterable[str]) -> str:
    """The nearest of the names as a question, empty where none is near."""
    near = difflib.get_close_matches(topic, list(topics), n=1)
    return f"; did you mean {near[0]}?" if near else ""


def _choose(path: Path, topic: str | None, modality: Modality, counts: dict[str, int]) -> str:
    there = "; image topics in it: " + (", ".join(f"{name} ({count})" for name, count in counts.items()) or "none")
    if topic is not None:
        topic = "/" + topic.lstrip("/")
        if topic not in counts:
            raise SourceError(f"{modality} input {path} has no image topic {topic}{nearest(topic, counts)}{there}")
        return topic
    if f"/{modality}/image" in counts:
        return f"/{modality}/image"
    other = "thermal" if modality == "visible" else "visible"
    fitting = [name for name in counts if modality in name] or [name for name in counts if other not in name]
    if len(fitting) != 1:
        raise SourceError(
            f"{modality} input {path} needs a topic: --{modality} TOPIC, to `tpf track` --{modality} {path}:TOPIC"
            f"{there}"
        )
    return fitting[0]
