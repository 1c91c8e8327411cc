"""A camera that moves: what a fixed one saw, as one that is flown or carried would see it."""

import zlib
from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np

from tpf_training.evaluation.one_pass import Images, Sequence

_REACH = 8  # frames' motion that the camera gets away from its middle position, at most


@dataclass(frozen=True)
class MovedSequence:
    """`sequence`, whose images lie within larger ones, at another place in each frame; a `Sequence` itself.

    shifts: (N, 2) whole pixels, x and y, 0 to `room`: from the larger image's corner to that of frame n. Around it are
    the pixels of its edges.
    """

    sequence: Sequence
    shifts: np.ndarray
    room: int

    @property
    def name(self) -> str:
        return self.sequence.name

    @property
    def modalities(self) -> tuple[str, ...]:
        return self.sequence.modalities

    @property
    def boxes(self) -> np.ndarray:
        return self.sequence.boxes + np.pad(self.shifts, ((0, 0), (0, 2)))

    @property
    def present(self) -> np.ndarray:
        return self.sequence.present

    def images(self) -> Iterator[Images]:
        for shift, images in zip(self.shifts, self.sequence.images(), strict=True):
            yield tuple(self._moved(image, *shift.tolist()) for image in images)

    def _moved(self, image: np.ndarray | None, x: int, y: int) -> np.ndarray | None:
        if image is None:
            return None
        return cv2.copyMakeBorder(image, y, self.room - y, x, self.room - x, cv2.BORDER_REPLICATE)


def moved(sequence: Sequence, pixels: float) -> MovedSequence:
    """`sequence` by a camera that turns at random, to and fro, for each sequence's name in its own way.

    pixels: the root mean square of its motion from frame to frame, in x and in y, in the middle of its range; towards
    the ends of that the motion is slower.
    """
    generator = np.random.default_rng(zlib.crc32(sequence.name.encode()))
    path = generator.normal(0, pixels, (len(sequence.boxes), 2)).cumsum(axis=0)
    reach = _REACH * pixels
    shifts = np.rint(reach * (1 + np.sin(path / reach))).astype(int)
    return MovedSequence(sequence, shifts, int(np.ceil(2 * reach)))
