"""Trackers that others wrote, for comparison: OpenCV's CSRT and KCF, and NanoTrack v2. They take one image a frame."""

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np

from tpf_model.boxes import Box
from tpf_training.evaluation.one_pass import EvaluationError

PEERS = ("csrt", "kcf", "nano")
PEER_INPUTS = ("visible", "thermal", "average")
NANOTRACK_FILES = ("nanotrack_backbone_sim.onnx", "nanotrack_head_sim.onnx")


class PeerTracker:
    """One of `PEERS` as a `OnePassTracker` on the visible image, the thermal one or their average.

    Where one image is missing the average is the other. Where there is no image, or the peer reports a failure, the box
    stays where it was and the score is 0; where the peer has no score of its own it is 1.
    """

    def __init__(self, peer: str, source: str, nanotrack: Path | None = None):
        """nanotrack: the folder with `NANOTRACK_FILES`, for "nano". EvaluationError where the peer cannot run here."""
        self._make = _factory(peer, nanotrack)
        self._source = source

    def init(self, visible: np.ndarray | None, thermal: np.ndarray | None, box: Box) -> None:
        image = _image(visible, thermal, self._source)
        if image is None:
            raise EvaluationError(f"a peer on {self._source} needs a {self._source} image in the first frame")
        self._tracker = self._make()
        self._box = box
        self._tracker.init(image, _whole_pixels(box, image))

    def track(self, visible: np.ndarray | None, thermal: np.ndarray | None) -> tuple[Box, float]:
        image = _image(visible, thermal, self._source)
        if image is None:
            return self._box, 0.0
        found, box = self._tracker.update(image)
        if not found:
            return self._box, 0.0
        self._box = tuple(float(value) for value in box)
        own_score = getattr(self._tracker, "getTrackingScore", None)
        return self._box, float(own_score()) if own_score else 1.0


def _factory(peer: str, nanotrack: Path | None) -> Callable[[], cv2.Tracker]:
    if peer == "nano":
        return _nanotrack(nanotrack)
    name = f"Tracker{peer.upper()}"
    if not hasattr(cv2, name):
        raise EvaluationError(
            f"peer {peer!r} needs OpenCV's contrib modules; cv2 in {Path(cv2.__file__).parent} lacks them: "
            "pip install 'tpf_training[peers]' in an environment of its own (see training/README.md)"
        )
    return getattr(cv2, name).create


def _nanotrack(folder: Path | None) -> Callable[[], cv2.Tracker]:
    if folder is None:
        raise EvaluationError(f"peer 'nano' needs --nanotrack, a folder with {' and '.join(NANOTRACK_FILES)}")
    for name in NANOTRACK_FILES:
        if not (folder / name).is_file():
            raise EvaluationError(f"peer 'nano' needs {folder / name}, which does not exist")
    parameters = cv2.TrackerNano_Params()
    parameters.backbone, parameters.neckhead = (str(folder / name) for name in NANOTRACK_FILES)
    try:
        cv2.TrackerNano.create(parameters)
    except cv2.error as error:
        raise EvaluationError(f"peer 'nano': {folder} does not hold NanoTrack v2: {error}") from error
    return lambda: cv2.TrackerNano.create(parameters)


def _image(visible: np.ndarray | None, thermal: np.ndarray | None, source: str) -> np.ndarray | None:
    """(H, W, 3) uint8 BGR, as OpenCV's trackers take it, or None."""
    shown = None if visible is None or source == "thermal" else cv2.cvtColor(visible, cv2.COLOR_RGB2BGR)
    warm = None if thermal is None or source == "visible" else cv2.cvtColor(thermal, cv2.COLOR_GRAY2BGR)
    if shown is not None and warm is not None:
        return cv2.addWeighted(shown, 0.5, warm, 0.5, 0)
    return warm if shown is None else shown


def _whole_pixels(box: Box, image: np.ndarray) -> tuple[int, int, int, int]:
    """`box` to whole pixels, of which there is at least one, inside the image: OpenCV crashes on others."""
    height, width = image.shape[:2]
    x, y = min(max(round(box[0]), 0), width - 1), min(max(round(box[1]), 0), height - 1)
    return x, y, max(1, min(round(box[2]), width - x)), max(1, min(round(box[3]), height - y))
