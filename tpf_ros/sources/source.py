"""What all sources of offline images have in common."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np

Modality = Literal["visible", "thermal"]


class SourceError(ValueError):
    """A source that cannot be read, or a damaged frame; the message names it and what would be accepted."""


@dataclass(frozen=True)
class Item:
    """One image of a source, decoded only by `load()`, which raises SourceError where it is damaged.

    name: the file, or the source and the number in it; for messages.
    stamp_ns: when it was taken, of the video, the message's header, or the frame's number.
    arrival_ns: when a rosbag recorded it; the stamp elsewhere.
    load: -> (H, W, 3) uint8 RGB of a visible image, (h, w) uint8 | uint16 | float32 of a thermal one.
    encoded: -> the bytes of an image file (JPEG, PNG, ...) that is decoded to the same; None where there is none.
    """

    name: str
    stamp_ns: int
    arrival_ns: int
    load: Callable[[], np.ndarray]
    encoded: Callable[[], bytes] | None = None


class Source(Protocol):
    """The images of one camera in order. Iterating starts at the first image each time."""

    name: str  # for messages
    count: int  # images
    rate: float  # images a second, on average

    def __iter__(self) -> Iterator[Item]: ...
