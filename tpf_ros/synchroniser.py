"""Pairs visible and thermal frames by stamp, and lets one camera's frames through alone when the other gives none.

`add_visible` and `add_thermal` take each message as it arrives and return what is ready: usually one `Pair`, or none.
Which frames are a pair is the matcher's business: `NearestMatcher` (see there) or message_filters.

A frame waits for its partner only while pairs are coming. When a camera's frames have found no partner for
`alone_after` (the other camera is silent, or its stamps are useless), those that waited come out alone, and from then
on each at once; the visible camera's, or the thermal one's while visible is not arriving. As soon as two frames match
again, pairs come back; the first such match may be lost, because its frame is out already. Nothing ever comes out twice
or against the order of arrival. Of frames that wait, each camera's last `_WAITING` are held.

Stamps and times are integer ns. There is no clock in here: `now` is the caller's steady clock.
"""

from collections import deque
from dataclasses import dataclass, field
from typing import Any, Protocol

from tpf_ros.message_filters_matcher import MessageFiltersMatcher
from tpf_ros.nearest_matcher import HORIZON, THERMAL, VISIBLE, NearestMatcher

_MATCHERS = {"nearest": NearestMatcher, "message_filters": MessageFiltersMatcher}
POLICIES = tuple(_MATCHERS)
_AGES = 64  # frames of each stream that the offset is estimated from
_WAITING = 32  # half a second at 60 Hz


@dataclass(frozen=True)
class Pair:
    """A visible and a thermal frame of one moment, or a lone one: then the other's fields are None.

    visible, thermal: what was given to `add_visible` and `add_thermal`. visible_stamp, thermal_stamp: ns, as the
    cameras wrote them. difference: ns, thermal minus visible stamp after the offset; None for a lone frame.
    """

    visible: Any = None
    thermal: Any = None
    visible_stamp: int | None = None
    thermal_stamp: int | None = None
    difference: int | None = None


@dataclass
class StreamCount:
    """Frames of one camera since the start."""

    received: int = 0  # all, those refused included
    paired: int = 0
    alone: int = 0  # came out without a partner
    bad_stamp: int = 0  # refused: the stamp is zero or negative
    refused: int = 0  # refused by the matcher: the stamp repeats or falls back a little

    @property
    def good(self) -> int:
        """Frames that were not refused."""
        return self.received - self.bad_stamp - self.refused

    @property
    def unpaired(self) -> int:
        """Good frames that came out neither in a pair nor alone (one or two may be waiting still)."""
        return self.good - self.paired - self.alone


class Matcher(Protocol):
    """What pairs two streams. Counts what it refuses as duplicates or out_of_order, and restarts of a clock."""

    duplicates: int
    out_of_order: int
    restarts: int

    def accepts(self, stream: int, time: int) -> bool: ...

    def add(self, stream: int, time: int, payload) -> list[tuple]: ...

    def finish(self) -> list[tuple]: ...


@dataclass(frozen=True)
class _Waiting:
    """A frame that arrived after all that came out."""

    number: int
    stamp: int
    time: int  # the stamp by the visible camera's clock
    frame: Any


@dataclass
class _Camera:
    count: StreamCount = field(default_factory=StreamCount)
    newest_out: int = 0  # number of the newest frame that came out, in a pair or alone
    arrived: int | None = None  # when the last good frame came
    unmatched_since: int | None = None  # when the first good frame since the last match came
    waiting: deque[_Waiting] = field(default_factory=lambda: deque(maxlen=_WAITING))
    ages: deque[int] = field(default_factory=lambda: deque(maxlen=_AGES))  # now - stamp


class Synchroniser:
    """See the module. Not thread-safe: call it from one thread or under one lock."""

    def __init__(self, matcher: Matcher, thermal_offset: int = 0, alone_after: int = 500_000_000):
        """thermal_offset: ns, added to thermal stamps. alone_after: ns without a match until frames come out alone."""
        self._matcher = matcher
        self._offset = thermal_offset
        self._alone_after = alone_after
        self._cameras = (_Camera(), _Camera())
        self._number = 0  # of the newest good frame, of both cameras
        self._newest_time = 0  # of what came out last
        self._restarts = 0  # since which the ages are of one clock

    def add_visible(self, stamp: int, frame: Any, now: int) -> list[Pair]:
        """Add a visible frame with its stamp; return what is ready, in order. A frame to refuse is counted only."""
        return self._add(VISIBLE, stamp, stamp, frame, now)

    def add_thermal(self, stamp: int, frame: Any, now: int) -> list[Pair]:
        """Add a thermal frame with its stamp as the camera wrote it; return what is ready, in order."""
        return self._add(THERMAL, stamp, stamp + self._offset, frame, now)

    def finish(self) -> list[Pair]:
        """Return, in order, the pairs that still waited for a nearer frame: no frames will come any more."""
        return [pair for visible, thermal in self._matcher.finish() for pair in self._matched(visible, thermal)]

    @property
    def visible(self) -> StreamCount:
        return self._cameras[VISIBLE].count

    @property
    def thermal(self) -> StreamCount:
        return self._cameras[THERMAL].count

    @property
    def duplicates(self) -> int:
        """Frames refused because their stamp repeats, of both cameras."""
        return self._matcher.duplicates

    @property
    def out_of_order(self) -> int:
        """Frames refused because their stamp falls back a little, of both cameras."""
        return self._matcher.out_of_order

    @property
    def restarts(self) -> int:
        """How often a camera's clock fell back: a looped bag counts once for each camera."""
        return self._matcher.restarts

    def suggested_offset(self) -> int | None:
        """The `thermal_offset` (ns) under which both cameras' frames would arrive equally old; None before both came.

        It includes the difference of the cameras' delays up to here (exposure, transport), some ms: a hint for an
        offset that is plainly wrong, not a calibration.
        """
        visible, thermal = (camera.ages for camera in self._cameras)
        # The least delayed frames say most about the clocks.
        return min(thermal) - min(visible) if visible and thermal else None

    def let_out(self, stamp: int, now: int) -> list[Pair]:
        """Let those that wait out alone, now, for someone who has seen the one of `stamp` (0: the newest).

        Nothing comes out where `stamp` (ns, as the camera wrote it) is older than all of them, or by another clock.
        """
        for stream in self._alone_streams(now):
            waiting = self._cameras[stream].waiting
            if waiting and (stamp == 0 or waiting[0].stamp <= stamp <= waiting[-1].stamp + HORIZON):
                return self._out(self._release(stream))
        return []

    def _add(self, stream: int, stamp: int, time: int, frame: Any, now: int) -> list[Pair]:
        camera = self._cameras[stream]
        camera.count.received += 1
        if stamp <= 0:
            camera.count.bad_stamp += 1
            return []
        if not self._matcher.accepts(stream, time):
            camera.count.refused += 1
            return []
        if self._matcher.restarts != self._restarts:  # what was before is of another clock
            self._restarts = self._matcher.restarts
            for each in self._cameras:
                each.ages.clear()
        camera.ages.append(now - stamp)
        camera.arrived = now
        self._number += 1
        number = self._number
        camera.waiting.append(_Waiting(number, stamp, time, frame))
        matches = self._matcher.add(stream, time, (number, stamp, time, frame))
        pairs = [pair for visible, thermal in matches for pair in self._matched(visible, thermal)]
        return self._out(pairs or self._alone(stream, now))

    def _out(self, pairs: list[Pair]) -> list[Pair]:
        if pairs:
            last = pairs[-1]
            lone_thermal = last.visible_stamp is None
            self._newest_time = last.thermal_stamp + self._offset if lone_thermal else last.visible_stamp
            newest_out = max(camera.newest_out for camera in self._cameras)
            for camera in self._cameras:
                while camera.waiting and camera.waiting[0].number <= newest_out:
                    camera.waiting.popleft()
        return pairs

    def _matched(self, visible: tuple, thermal: tuple) -> list[Pair]:
        entries = (visible, thermal)
        for camera in self._cameras:
            camera.unmatched_since = None
        if any(entry[0] <= camera.newest_out for camera, entry in zip(self._cameras, entries)):
            return []  # one of them, or a later one, came out alone
        for camera, entry in zip(self._cameras, entries):
            camera.newest_out = entry[0]
            camera.count.paired += 1
        return [Pair(visible[3], thermal[3], visible[1], thermal[1], thermal[2] - visible[2])]

    def _alone(self, stream: int, now: int) -> list[Pair]:
        camera = self._cameras[stream]
        if camera.unmatched_since is None:
            camera.unmatched_since = now
        if now - camera.unmatched_since <= self._alone_after or stream not in self._alone_streams(now):
            return []
        return self._release(stream)

    def _release(self, stream: int) -> list[Pair]:
        """All that wait of one camera. Those before the newest only where their times go on from what came out last:
        a thermal clock may be behind by more than is known, or a clock may have fallen."""
        camera = self._cameras[stream]
        newest = camera.waiting[-1]
        released = [one for one in camera.waiting if one is newest or self._newest_time < one.time < newest.time]
        camera.newest_out = newest.number
        camera.count.alone += len(released)
        if stream == VISIBLE:
            return [Pair(visible=one.frame, visible_stamp=one.stamp) for one in released]
        return [Pair(thermal=one.frame, thermal_stamp=one.stamp) for one in released]

    def _alone_streams(self, now: int) -> tuple[int, ...]:
        """Whose frames may come out alone."""
        return (VISIBLE,) if self._arriving(VISIBLE, now) else (VISIBLE, THERMAL)

    def _arriving(self, stream: int, now: int) -> bool:
        arrived = self._cameras[stream].arrived
        return arrived is not None and now - arrived <= self._alone_after


def open_synchroniser(policy: str, max_difference: int, thermal_offset: int, alone_after: int) -> Synchroniser:
    """Make the synchroniser of `sync.policy` (one of POLICIES); times in ns.

    ImportError, saying how to get it, where message_filters is not installed.
    """
    return Synchroniser(_MATCHERS[policy](max_difference), thermal_offset, alone_after)
