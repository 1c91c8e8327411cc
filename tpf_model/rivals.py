"""Look-alikes beside the target, and whether the box went on with one of them after it met the target.

While one of two that pass each other hides the other, the network sees one, and follows whichever is in front. Its
score map shows both before and after. So the peaks beside the target are followed, too (as KeepTrack does, Mayer et al.
2021, which learns which is which). Where a rival vanishes into the target, both lines are drawn on, and what comes
apart again says which of the two the box is on: things go on along their lines. Where they do not, the target's
correlation filter says it, which knows this one target, but only in time: that one of two looks more like the target
in one frame is worth little, that it does so in frame after frame is worth more and more.
"""

from collections import deque
from collections.abc import Callable
from math import log

import cv2
import numpy as np
from numpy.typing import NDArray

from tpf_model.boxes import Box, centre, is_within
from tpf_model.camera_motion import Motion
from tpf_model.crop import Crop

Place = NDArray[np.float64]  # (2,): x and y, pixels of the visible image
Likeness = Callable[[Place], float | None]  # how much what is there looks like the target; None: nobody knows

# Times are frames. Lengths are in sizes of the target, the root of its box's area.
_LEAST = 0.2  # the score of a rival, at least
_SHARE = 0.6  # of the box's score: what the other one scores after they met, at least
_BESIDE = 0.75  # sides of the box, by which something is off its centre to be beside it
_GATE = 0.5  # how far from its line a rival is still taken for the same
_FORGOTTEN = 5  # frames without a rival, after which it is none any more
_MEMORY = 30  # frames that a line is drawn through
_SLOW = 1.0  # frames squared: a speed from places whose times vary so much counts half
_KNOWN = 10  # frames, at least, before a line is believed ...
_STRAIGHT = 0.15  # ... and how far off it they lie at most, root mean square
_GONE = 3  # frames without a rival whose line runs into the target: they have met
_APART = 0.6  # how far apart their lines must be before anything is said
_SURE = 3  # frames that must say the same
_CERTAIN = 3.0  # of the logarithm of the odds, about 20 to 1, beyond which a rival is the target ...
_UNLIKE = 0.02  # ... where a likeness below this counts as this
_STEPS = np.array((-1.0, 0.0, 1.0))  # cells, to those around a peak


class Path:
    """Where something was, and where it is by the straight line through that.

    odds: their logarithm, of this being the target against what the box is on being it, as far as looks tell.
    """

    def __init__(self, *seen: tuple[int, Place]):
        self.first = seen[0][0]
        self.odds = 0.0
        self._seen = np.array([(frame, *place) for frame, place in seen[:-1]]).reshape(-1, 3)
        self.add(*seen[-1])

    def add(self, frame: int, place: Place) -> None:
        self.last, self.place = frame, place
        self._seen = np.vstack((self._seen[1 - _MEMORY :], (frame, *place)))
        self._draw()

    def move(self, motion: Motion) -> None:
        self.place, self._seen[:, 1:] = motion.places(self.place), motion.places(self._seen[:, 1:])
        self._draw()

    def _draw(self) -> None:
        self._middle = self._seen.mean(axis=0)
        away = self._seen - self._middle
        self._speed = away[:, 0] @ away[:, 1:] / (away[:, 0] @ away[:, 0] + _SLOW * len(away))

    def at(self, frame: int | NDArray) -> Place:
        return self._middle[1:] + (frame - self._middle[0]) * self._speed

    def compare(self, likeness: float, other: float) -> None:
        """One frame more, with how much this looks like the target, and what the box is on does."""
        gain = log(max(likeness, _UNLIKE) / max(other, _UNLIKE))
        self.odds = max(self.odds + gain, -_CERTAIN)  # no less: they may be exchanged later

    def is_straight(self, size: float) -> bool:
        """Whether enough of it was seen, and lies on its line. size: of the target."""
        off = self._seen[:, 1:] - self.at(self._seen[:, :1])
        return len(off) >= _KNOWN and np.square(off).sum(axis=1).mean() < (_STRAIGHT * size) ** 2


class Meeting:
    """A rival and the target, since the rival vanished into it.

    kept, exchanged: the frames that have said that the box is on the target, or on the rival.
    """

    def __init__(self, target: Path, rival: Path, size: tuple[float, float]):
        self.since = rival.last
        self.size = size  # the target's width and height: later the box may have the rival's
        self.kept = self.exchanged = 0
        self._target, self._rival = target, rival

    def move(self, motion: Motion) -> None:
        self._target.move(motion)
        self._rival.move(motion)
        self.size = self.size[0] * motion.scale, self.size[1] * motion.scale

    def judge(self, frame: int, box: Box, places: list[Place]) -> Place | None:
        """One frame more, with something else than the box in `places`: which of them the target is, if any."""
        way, size, middle = self._way(frame), _size(box), centre(box)
        if np.linalg.norm(way) < _APART * size:
            return None
        near = np.linalg.norm(way) / 2 + size / 4
        seen = [place - middle for place in places]
        self.kept += any(np.linalg.norm(other - way) < near for other in seen)
        if way @ self._way(self.since) > 0:
            return None  # by their lines they have not passed each other
        if _distance(middle, self._target.at(frame)) < _distance(middle, self._rival.at(frame)):
            return None  # the box has gone on where the target would
        misses = [float(np.linalg.norm(other + way)) for other in seen]
        if min(misses, default=np.inf) >= near:
            return None
        self.exchanged += 1
        return places[int(np.argmin(misses))]

    def _way(self, frame: int) -> Place:
        """From the target to the rival."""
        return self._rival.at(frame) - self._target.at(frame)


class Rivals:
    """Follows what looks like the target, from the frame on in which the target is in `box`."""

    def __init__(self, box: Box):
        self._frame = 0
        self._boxes: deque[tuple[int, Box]] = deque([(0, box)], maxlen=_MEMORY)  # the target's
        self._rivals: list[Path] = []
        self._meeting: Meeting | None = None

    def move(self, motion: Motion) -> None:
        """The camera moved: all that was seen is now where it would be seen in the next frame."""
        self._boxes = deque(((frame, motion.box(box)) for frame, box in self._boxes), maxlen=_MEMORY)
        for rival in self._rivals:
            rival.move(motion)
        if self._meeting is not None:
            self._meeting.move(motion)

    def observe(
        self,
        box: Box,
        score: float,
        believed: bool,
        peaks: list[tuple[float, Place]],
        patience: int,
        likeness: Likeness,
    ) -> Box | None:
        """One frame more: the tracker's `box` and `score`, whether they are `believed`, `peaks_of` the score map.

        patience: frames after which it no longer matters that a rival met the target. likeness: see `likeness_at`.
        Returns the target's box where the tracker's is found to be on a rival, else None.
        """
        self._frame += 1
        beside = [(value, place) for value, place in peaks if not is_within(place, box, _BESIDE)]
        self._follow([place for _, place in beside], _GATE * _size(box))
        strong = [place for value, place in beside if value >= _SHARE * score]
        target = self._more_like_it(box, likeness, strong) if believed else None
        if target is not None:
            return _around(target, box[2:] if self._meeting is None else self._meeting.size)
        if self._meeting is not None:
            return self._judge(box, strong, patience)
        if believed:
            self._boxes.append((self._frame, box))
        self._meeting = self._look_for_meeting(box)
        return None

    def _follow(self, places: list[Place], gate: float) -> None:
        """Each rival, those known longest first, goes on to the nearest of `places`; the others are new rivals."""
        for rival in self._rivals:
            away = [_distance(place, rival.at(self._frame)) for place in places]
            if min(away, default=gate) < gate:
                rival.add(self._frame, places.pop(int(np.argmin(away))))
        self._rivals += [Path((self._frame, place)) for place in places]
        self._rivals = [rival for rival in self._rivals if self._frame - rival.last <= _FORGOTTEN]

    def _more_like_it(self, box: Box, likeness: Likeness, strong: list[Place]) -> Place | None:
        """Where the rival is that has looked more like the target than what is in `box`, for long enough, if any.

        Not asked where nothing is believed to be in the box: a target that is hidden looks like nothing.
        """
        other = likeness(centre(box))
        for rival in self._rivals:
            seen = likeness(rival.place) if rival.last == self._frame else None
            if seen is None or other is None:
                continue
            rival.compare(seen, other)
            if rival.odds > _CERTAIN and any(place is rival.place for place in strong):
                return rival.place
        return None

    def _look_for_meeting(self, box: Box) -> Meeting | None:
        size = _size(box)
        for rival in self._rivals:
            vanished = self._frame - rival.last >= _GONE and is_within(rival.at(self._frame), box, 1.0)
            before = [(frame, box) for frame, box in self._boxes if frame <= rival.last] if vanished else []
            if before and rival.is_straight(size):
                target = Path(*((frame, centre(box)) for frame, box in before))
                if target.is_straight(size):
                    self._rivals.remove(rival)
                    return Meeting(target, rival, before[-1][1][2:])
        return None

    def _judge(self, box: Box, places: list[Place], patience: int) -> Box | None:
        meeting = self._meeting
        bystanders = [rival.place for rival in self._rivals if rival.first < meeting.since]
        places = [place for place in places if not any(place is other for other in bystanders)]
        target = meeting.judge(self._frame, box, places)
        if target is not None and meeting.exchanged >= max(_SURE, meeting.kept + 1):
            return _around(target, meeting.size)
        if meeting.kept >= max(_SURE, meeting.exchanged + 1) or self._frame - meeting.since > patience:
            self._meeting = None
            self._boxes.clear()
        return None


def peaks_of(scores: NDArray[np.float32], crop: Crop) -> list[tuple[float, Place]]:
    """The peaks of a crop's score map (G, G) that may be rivals: each one's score and place."""
    cells = len(scores)
    padded = np.pad(scores, 1)
    found = []
    for row, column in np.argwhere((scores >= _LEAST) & (scores == cv2.dilate(scores, np.ones((3, 3), np.uint8)))):
        weights = np.square(padded[row : row + 3, column : column + 3], dtype=np.float64)
        off = np.array((weights.sum(axis=0) @ _STEPS, weights.sum(axis=1) @ _STEPS)) / weights.sum()
        place = (np.array((column, row)) + 0.5 + off) / cells * crop.side + (crop.x, crop.y)
        found.append((float(scores[row, column]), place))
    return found


def _around(place: Place, size: tuple[float, float]) -> Box:
    return (*(place - np.divide(size, 2)).tolist(), *size)


def _distance(place: Place, other: Place) -> float:
    return float(np.linalg.norm(place - other))


def _size(box: Box) -> float:
    return float(np.sqrt(box[2] * box[3]))
