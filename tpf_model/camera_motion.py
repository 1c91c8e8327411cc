"""How the camera moved: sparse optical flow of what surrounds the target.

A camera that is flown or carried shifts, turns and zooms. Corners of both images are followed in small copies of them
(Lucas and Kanade, 1981, in a pyramid), and what most of them agree on (RANSAC, Fischler and Bolles, 1981) is the
camera's motion; what moves through the scene disagrees.
"""

from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np
from numpy.typing import NDArray

from tpf_model.boxes import Box, centre
from tpf_model.frame import Frame
from tpf_model.registration import Registration

Places = NDArray[np.float64]  # (..., 2): x and y, pixels of the visible image

_WIDTH = 160  # pixels of a small copy, at most
_CORNERS = {"maxCorners": 60, "qualityLevel": 0.002, "minDistance": 5}  # of a small copy
_FLOW = {"winSize": (9, 9), "maxLevel": 3, "criteria": (cv2.TERM_CRITERIA_COUNT | cv2.TERM_CRITERIA_EPS, 8, 0.03)}
_AGREE = 1 / 320  # of the image's width: how far from where the motion takes it a corner may be found
_STILL = 1 / 640  # of the image's width: what moved by less cannot be told from what did not
_LEAST = 12  # corners that must agree ...
_SHARE = 1 / 4  # ... and the share of all of them
_STOOD = 1 / 3  # of those that agree: so many that stand still, and it is not the camera that moved
_RECENT = 0.1  # what one more motion is worth to what the target shares of them, against all before it
_SCARCELY = 0.05**2  # motion, target sizes squared, of which it is not known whether the target shares it: then it does


@dataclass(frozen=True)
class Motion:
    """matrix: (2, 3), a similarity, from where things were in the visible image to where they are now."""

    matrix: NDArray[np.float64]

    @property
    def scale(self) -> float:
        return float(np.hypot(*self.matrix[:, 0]))

    def places(self, places: Places) -> Places:
        return places @ self.matrix[:, :2].T + self.matrix[:, 2]

    def box(self, box: Box, share: float = 1.0) -> Box:
        """Where a box is that takes part in so much of the motion; it stays upright."""
        middle, sides = np.array(centre(box)), np.array(box[2:]) * self.scale**share
        middle += share * (self.places(middle) - middle)
        return tuple(np.concatenate((middle - sides / 2, sides)).tolist())


class Following:
    """How much of the scene's motion through the image the target shares.

    1 where it stands in the scene, 0 where the camera follows it and keeps it where it is in the image: the regression
    of the target's motion on the scene's at its place, both in target sizes, over the last frames.
    """

    def __init__(self, box: Box):
        self._shared = self._all = 0.0
        self._last: NDArray[np.float64] | None = np.array(centre(box))

    @property
    def share(self) -> float:
        share = (self._shared + _SCARCELY) / (self._all + _SCARCELY)
        return min(max(share, 0.0), 1.0)

    def saw(self, box: Box | None, motion: Motion | None) -> None:
        """box: the target in a frame, None where it is not known. motion: what `Camera.moved` said of that frame."""
        if box is not None and self._last is not None:
            if motion is None:
                return  # what the camera moves by is told later, of all frames up to then
            side = np.sqrt(box[2] * box[3])
            scene, target = motion.places(self._last) - self._last, centre(box) - self._last
            self._shared += _RECENT * (scene @ target / side**2 - self._shared)
            self._all += _RECENT * (scene @ scene / side**2 - self._all)
        self._last = None if box is None else np.array(centre(box))


class Camera:
    """Sees how it moves from one call of `moved` to the next.

    While it has not moved further than can be measured, the same frame is compared with, so that slow motion adds up.
    """

    def __init__(self):
        self._before: _Pair = (None, None)

    def moved(self, frame: Frame, registration: Registration, target: Box) -> Motion | None:
        """The motion up to `frame` since the last one that was returned; None where there is none to be sure of.

        target: its last known box, within which nothing counts.
        """
        before, self._before = self._before, _small_pair(frame, registration)
        followed = [_follow(*pair) for pair in zip(before, self._before) if None not in pair]
        places, found = np.concatenate((np.empty((2, 0, 2)), *followed), axis=1)
        around = ~(_is_within(places, target) | _is_within(found, target))
        places, found = places[around], found[around]
        motion, agree = _agreed(places, found, _AGREE * frame.size[0])
        stood = np.count_nonzero(np.linalg.norm(found - places, axis=1) < _STILL * frame.size[0])
        # A bus that fills the image does not carry the box away from what stands still around it.
        if motion is not None and stood >= _STOOD * agree:
            self._before = before
            return None
        return motion


@dataclass(frozen=True)
class _Small:
    """A small copy of an image, (h, w) uint8. to_visible: (3, 3), from its coordinates, continuous ones."""

    image: NDArray[np.uint8]
    to_visible: NDArray[np.float64]

    @cached_property
    def corners(self) -> NDArray[np.float32] | None:
        """(N, 1, 2), as OpenCV counts: from the first pixel's middle."""
        return cv2.goodFeaturesToTrack(self.image, **_CORNERS)


_Pair = tuple[_Small | None, _Small | None]  # of the visible and the thermal image


def _small_pair(frame: Frame, registration: Registration) -> _Pair:
    visible = thermal = None
    if frame.visible is not None:
        visible = _small(frame.visible, np.eye(3))
    if frame.thermal is not None:
        height, width = frame.thermal.shape
        thermal = _small(frame.thermal, registration.matrix((width, height), frame.size))
    return visible, thermal


def _small(image: NDArray[np.uint8], to_visible: NDArray[np.float64]) -> _Small:
    """Averaged from twice its size: of a large image most pixels are skipped, which takes a fraction of the time."""
    height, width = image.shape[:2]
    columns = min(_WIDTH, width)
    rows = max(1, round(height * columns / width))
    twice = cv2.resize(image, (2 * columns, 2 * rows), interpolation=cv2.INTER_LINEAR)
    small = cv2.resize(twice, (columns, rows), interpolation=cv2.INTER_AREA)
    grey = small if small.ndim == 2 else cv2.cvtColor(small, cv2.COLOR_RGB2GRAY)
    return _Small(grey, to_visible @ np.diag((width / columns, height / rows, 1.0)))


def _follow(before: _Small, now: _Small) -> Places:
    """Where corners were and where they are now, (2, N, 2)."""
    if before.image.shape != now.image.shape or before.corners is None:
        return np.empty((2, 0, 2))
    found, is_found, _ = cv2.calcOpticalFlowPyrLK(before.image, now.image, before.corners, None, **_FLOW)
    pixels = np.stack((before.corners, found))[:, is_found.ravel() > 0, 0] + 0.5
    places = np.pad(pixels, ((0, 0), (0, 0), (0, 1)), constant_values=1.0) @ now.to_visible.T
    return places[..., :2] / places[..., 2:]


def _is_within(places: Places, box: Box) -> NDArray[np.bool_]:
    return ((places >= box[:2]) & (places <= np.add(box[:2], box[2:]))).all(axis=-1)


def _agreed(places: Places, found: Places, reach: float) -> tuple[Motion | None, int]:
    """The motion that most agree on to `reach` pixels, and how many; None, 0 where too few do."""
    if len(places) < _LEAST:
        return None, 0
    matrix, agrees = cv2.estimateAffinePartial2D(places, found, method=cv2.RANSAC, ransacReprojThreshold=reach)
    agree = 0 if matrix is None else int(agrees.sum())
    return (Motion(matrix), agree) if agree >= max(_LEAST, _SHARE * len(places)) else (None, 0)
