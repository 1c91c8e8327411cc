"""A video file, frame by frame, in the order of presentation."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import av
import numpy as np

from tpf_ros.sources.source import Item, Modality, SourceError


class VideoSource:
    """The first video stream of a file. Stamps are its presentation times; without any, frame number / rate."""

    def __init__(self, path: Path, modality: Modality):
        self.name = str(path)
        self._path, self._modality = path, modality
        with self._stream() as stream:
            packets = stream.container.demux(stream)
            self.count = sum(1 for packet in packets if packet.size and not packet.is_discard)
            self.rate = float(stream.average_rate or stream.guessed_rate or 0)
        if not self.count or not self.rate:
            raise SourceError(f"{path} holds no video frames")

    def __iter__(self) -> Iterator[Item]:
        decoded = 0
        with self._stream() as stream:
            stream.thread_type = "AUTO"
            try:
                for frame in stream.container.decode(stream):
                    if frame.is_corrupt:
                        raise SourceError(f"{self.name}: frame {decoded} is damaged")
                    stamp = _stamp(frame, decoded, self.rate)
                    yield Item(f"{self.name}: frame {decoded}", stamp, stamp, partial(_pixels, frame, self._modality))
                    decoded += 1
            except av.FFmpegError as error:
                raise SourceError(f"{self.name}: frame {decoded} cannot be decoded: {error.strerror}") from error

    @contextmanager
    def _stream(self) -> Iterator[av.VideoStream]:
        try:
            container = av.open(str(self._path))
        except (av.FFmpegError, OSError) as error:
            raise SourceError(f"{self._path} is not a video that can be read: {error.strerror}") from error
        with container:
            if not container.streams.video:
                raise SourceError(f"{self._path} holds no video stream")
            yield container.streams.video[0]


def _stamp(frame: av.VideoFrame, index: int, rate: float) -> int:
    if frame.pts is None:
        return round(index / rate * 1e9)
    return round(frame.pts * frame.time_base * 10**9)


def _pixels(frame: av.VideoFrame, modality: Modality) -> np.ndarray:
    if modality == "visible":
        image = frame.to_ndarray(format="rgb24")
    else:
        bits = frame.format.components[0].bits
        image = frame.to_ndarray(format="gray16le" if bits > 8 else "gray")
        if 8 < bits < 16 and frame.format.name.startswith("gray"):
            image = image >> (16 - bits)  # counts, which the conversion has spread over all 16 bits
    return np.ascontiguousarray(np.rot90(image, frame.rotation // 90))
