"""The last few seconds of frames by stamp, so that a target can be initialised on the image the operator saw."""

import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tpf_model.frame import Frame


class NoFrameYet(LookupError):
    """The buffer is empty."""


class StampNotBuffered(LookupError):
    """No buffered frame is near the stamp; the text says which stamps are."""


@dataclass(frozen=True)
class BufferedFrame:
    """A frame with the stamps (ns, as the cameras wrote them) of its images; None for a missing image.

    note: whatever the caller wants to find again with it. thermal_offset: ns, added to a thermal stamp it is the same
    moment's by the visible camera's clock.
    """

    frame: Frame
    visible_stamp: int | None
    thermal_stamp: int | None
    note: Any = None
    thermal_offset: int = 0

    @property
    def stamp(self) -> int:
        """The visible image's stamp; the thermal one's where there is no visible image."""
        return self.thermal_stamp if self.visible_stamp is None else self.visible_stamp

    @property
    def time(self) -> int:
        """When it was, ns, by the visible camera's clock."""
        return self.thermal_stamp + self.thermal_offset if self.visible_stamp is None else self.visible_stamp

    @property
    def size(self) -> int:
        """Bytes of its images."""
        return sum(image.nbytes for image in (self.frame.visible, self.frame.thermal) if image is not None)


class FrameBuffer:
    """Keeps references to the frames of the last `duration` ns, and at most `max_bytes` of images. Thread-safe.

    The newest frame is always kept. When time falls back (a looped bag), the frames before are forgotten.
    """

    def __init__(self, duration: int, max_bytes: int = 256_000_000):
        self._duration = duration
        self._max_bytes = max_bytes
        self._frames: deque[BufferedFrame] = deque()
        self._bytes = 0
        self._lock = threading.Lock()

    def append(
        self,
        frame: Frame,
        visible_stamp: int | None,
        thermal_stamp: int | None,
        note: Any = None,
        thermal_offset: int = 0,
    ) -> BufferedFrame:
        """Add the newest frame, and return it as it is kept. At least one stamp is given."""
        new = BufferedFrame(frame, visible_stamp, thermal_stamp, note, thermal_offset)
        with self._lock:
            if self._frames and new.time <= self._frames[-1].time:
                self._frames.clear()
                self._bytes = 0
            self._frames.append(new)
            self._bytes += new.size
            while new.time - self._frames[0].time > self._duration or (
                self._bytes > self._max_bytes and len(self._frames) > 1
            ):
                self._bytes -= self._frames.popleft().size
        return new

    def find(self, stamp: int, thermal: bool = False, tolerance: int = 100_000_000) -> BufferedFrame:
        """The frame nearest to `stamp` (ns; 0: the newest), which is that of a thermal image where `thermal` is set.

        Where it is not, frames without a visible image go by their thermal one's, under which they are published.
        Raises NoFrameYet when the buffer is empty, and StampNotBuffered when the nearest is more than `tolerance` ns
        away. (The operator may have seen an image that was in no pair; its neighbour is then at most a frame away.)
        """
        with self._lock:
            if not self._frames:
                raise NoFrameYet("no usable image has come yet; /diagnostics says why")
            if stamp == 0:
                return self._frames[-1]
            key: Callable = (lambda one: one.thermal_stamp) if thermal else (lambda one: one.stamp)
            known = [one for one in self._frames if key(one) is not None]
        if not known:
            raise StampNotBuffered("no thermal image is in the buffer")
        nearest = min(known, key=lambda one: abs(key(one) - stamp))
        if abs(key(nearest) - stamp) > tolerance:
            raise StampNotBuffered(_explain(stamp, key(known[0]), key(known[-1]), tolerance))
        return nearest

    def since(self, time: int) -> list[BufferedFrame]:
        """The frames whose `BufferedFrame.time` is `time` or later, oldest first."""
        with self._lock:
            return [one for one in self._frames if one.time >= time]

    def __len__(self) -> int:
        return len(self._frames)


def _explain(stamp: int, oldest: int, newest: int, tolerance: int) -> str:
    if stamp < oldest:
        where = f"is {(oldest - stamp) * 1e-9:.3f} s older than the oldest buffered image"
    elif stamp > newest:
        where = f"is {(stamp - newest) * 1e-9:.3f} s newer than the newest image"
    else:
        where = f"falls into a gap between images, {tolerance * 1e-9:g} s or more from each"
    return f"stamp {stamp * 1e-9:.3f} s {where}; buffered: {oldest * 1e-9:.3f} to {newest * 1e-9:.3f} s"
