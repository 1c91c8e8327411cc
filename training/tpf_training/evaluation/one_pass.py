"""One-pass evaluation: a tracker gets the first frame's true box and is never helped again."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from tpf_model.boxes import Box, validate_box
from tpf_training.datasets.record import DatasetError
from tpf_training.evaluation.degradation import Degradation

# Visible (H, W, 3) uint8 RGB and thermal (H, W) uint8, aligned; None where there is none.
Images = tuple[np.ndarray | None, np.ndarray | None]


class EvaluationError(ValueError):
    """What an evaluation is asked for cannot be done; the message says why, and what could."""


class OnePassTracker(Protocol):
    """What can be evaluated: one target at a time; boxes are x, y, w, h in pixels of the images."""

    def init(self, visible: np.ndarray | None, thermal: np.ndarray | None, box: Box) -> None:
        """Take up the target in `box`, and forget any other."""

    def track(self, visible: np.ndarray | None, thermal: np.ndarray | None) -> tuple[Box, float]:
        """The box in the next frame, and a score 0..1 of how sure it is."""


class Sequence(Protocol):
    """N consecutive frames and where one target is in them.

    name: unique in a data set. modalities: of "visible" and "thermal", those with images. boxes: (N, 4) float x, y, w,
    h. present: (N,) bool, the frames that count: those whose box is known and shows the target; frame 0 is one.
    """

    name: str
    modalities: tuple[str, ...]
    boxes: np.ndarray
    present: np.ndarray

    def images(self) -> Iterator[Images]:
        """The N frames in order; an error of their reader names the file of one that is missing or damaged."""


@dataclass(frozen=True)
class Run:
    """What a tracker said.

    boxes: (N, 4); scores: (N,); in frame 0 the given box and 1. seconds: (N,) that `init`, and then each `track`, took;
    decoding is not in them.
    """

    boxes: np.ndarray
    scores: np.ndarray
    seconds: np.ndarray


def run_one_pass(tracker: OnePassTracker, sequence: Sequence, degradation: Degradation | None = None) -> Run:
    """`tracker` over all frames of `sequence`, at least 2, with the images that `degradation` leaves.

    DatasetError names the frame that is missing or damaged, and the sequence whose first box cannot be a target.
    """
    given = tuple(sequence.boxes[0].tolist())
    boxes, scores, seconds = [given], [1.0], []
    for index, images in enumerate(sequence.images()):
        if degradation:
            images = degradation.apply(index, *images)
        if index == 0:
            _check_target(sequence.name, given, images)
        started = time.perf_counter()
        if index == 0:
            tracker.init(*images, given)
        else:
            box, score = tracker.track(*images)
            boxes.append(box)
            scores.append(score)
        seconds.append(time.perf_counter() - started)
    return Run(np.array(boxes, np.float64), np.array(scores, np.float64), np.array(seconds))


def _check_target(name: str, box: Box, images: Images) -> None:
    height, width = next(image for image in images if image is not None).shape[:2]
    try:
        validate_box(box, (width, height))
    except ValueError as error:
        raise DatasetError(f"{name}: frame 0: {error}") from error
