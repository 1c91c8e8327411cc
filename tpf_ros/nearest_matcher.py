"""Pairs of nearest stamps out of two streams, as soon as they are certain.

**What is a pair.** A visible and a thermal frame that are each other's nearest: no other visible frame is nearer to the
thermal one, no other thermal frame nearer to the visible one, and they are at most `max_difference` apart. (Of two
equally near, the earlier counts.) So with visible at 30 Hz and thermal at 9 Hz each thermal frame goes with its nearest
visible frame, and the 21 visible frames a second in between are in no pair. A frame is in one pair at most.

**When is it known.** With frame a before frame b of the other stream, only a successor of a could still be nearer to b.
If it has not arrived, the pair is certain once a's stream cannot bring a frame so soon: its shortest interval among the
last 32 says so. With similar rates that is nearly always the case, and the pair comes out with the later of its two
frames. Otherwise it waits for the successor, one frame. (A frame that comes sooner than any of the last 32 may be
nearer than the one that was taken.)

**Clocks.** Stamps of one stream ascend. One that repeats or falls back by less than `HORIZON` is refused; a greater
fall is a restart (a bag that loops, a clock set back): what is older is forgotten, and frames of the other stream that
are still of the time before are ignored until its clock has fallen too. A leap forward needs nothing special. Of frames
older than `HORIZON` a stream keeps one, so little memory is held.
"""

from collections import deque

VISIBLE, THERMAL = 0, 1

HORIZON = 500_000_000  # ns
_INTERVALS = 32  # how many intervals the shortest is taken from
_ENOUGH = 8  # how many it takes to be believed


class _Stream:
    def __init__(self):
        self.waiting: deque[tuple[int, object]] = deque()  # (time, payload), ascending
        self.newest: int | None = None  # time of the newest frame
        self.left: int | None = None  # time of the newest frame no longer waiting
        self.intervals: deque[int] = deque(maxlen=_INTERVALS)
        self.before_restart = False  # the other stream's clock has fallen back, this one's not yet

    def forget(self) -> None:
        self.waiting.clear()
        self.left = None

    def leave(self) -> tuple[int, object]:
        entry = self.waiting.popleft()
        self.left = entry[0]
        return entry

    def successor_not_before(self) -> int:
        """The earliest time that the frame after the first waiting one may have."""
        if len(self.waiting) > 1:
            return self.waiting[1][0]
        shortest = min(self.intervals) if len(self.intervals) >= _ENOUGH else 1
        return self.waiting[0][0] + shortest


class NearestMatcher:
    """Matches two streams of (time, payload); see the module. Times in ns, on one clock. Not thread-safe."""

    def __init__(self, max_difference: int):
        self.max_difference = max_difference
        self.duplicates = 0  # frames refused: the stamp repeats
        self.out_of_order = 0  # frames refused: the stamp falls back a little
        self.restarts = 0  # falls of either stream's clock
        self._streams = (_Stream(), _Stream())

    def accepts(self, stream: int, time: int) -> bool:
        """Whether a frame of this time may be added now; counts it if not. Call once before each `add`."""
        newest = self._streams[stream].newest
        if newest is None or time > newest:
            return True
        if time < newest - HORIZON:
            self._restart(stream, time)
            return True
        if time == newest:
            self.duplicates += 1
        else:
            self.out_of_order += 1
        return False

    def add(self, stream: int, time: int, payload) -> list[tuple]:
        """Add a frame; return the (visible payload, thermal payload) pairs that are certain now, in order."""
        own, other = self._streams[stream], self._streams[1 - stream]
        if own.newest is not None:
            own.intervals.append(time - own.newest)
        own.newest = time
        if own.before_restart:
            if other.newest is not None and time - other.newest > HORIZON:
                return []
            own.before_restart = False
        own.waiting.append((time, payload))
        pairs = self._match()
        while len(own.waiting) > 1 and time - own.waiting[1][0] > HORIZON:
            own.leave()
        return pairs

    def finish(self) -> list[tuple]:
        """Return the pairs that only waited for a nearer frame, which will not come any more."""
        return self._match(last=True)

    def _restart(self, stream: int, time: int) -> None:
        self.restarts += 1
        own, other = self._streams[stream], self._streams[1 - stream]
        own.forget()
        own.newest = None
        own.before_restart = False
        if other.newest is not None and other.newest - time > HORIZON:
            other.forget()
            other.before_restart = True

    def _match(self, last: bool = False) -> list[tuple]:
        pairs = []
        visible, thermal = self._streams
        while visible.waiting and thermal.waiting:
            first, second = sorted(self._streams, key=lambda stream: stream.waiting[0][0])
            gap = second.waiting[0][0] - first.waiting[0][0]
            if gap > self.max_difference or self._nearer_before(first, second, gap):
                first.leave()
                continue
            successor = first.successor_not_before() - second.waiting[0][0]
            if abs(successor) < gap and len(first.waiting) > 1:
                first.leave()
            elif successor < gap and not last:
                break  # a nearer frame may still come
            else:
                pairs.append((visible.leave()[1], thermal.leave()[1]))
        return pairs

    @staticmethod
    def _nearer_before(first: _Stream, second: _Stream, gap: int) -> bool:
        """Whether the frame before `second`'s first, which is in no need of it any more, is as near to `first`'s."""
        return second.left is not None and first.waiting[0][0] - second.left <= gap
