"""message_filters.ApproximateTimeSynchronizer as a matcher, for those who want its exact semantics.

It pairs a frame with the nearest that is there, though a nearer one may come, and after a looped bag it misses pairs,
because its queues keep the frames with the highest stamps. It comes with a ROS 2 installation only.
"""

from types import SimpleNamespace

_QUEUE_SIZE = 10


class MessageFiltersMatcher:
    """Matches two streams of (time, payload), times in ns. It refuses nothing. Not thread-safe."""

    duplicates = out_of_order = restarts = 0

    def __init__(self, max_difference: int):
        """max_difference: ns. ImportError, saying how to get it, where message_filters is not installed."""
        try:
            from message_filters import ApproximateTimeSynchronizer, SimpleFilter
        except ImportError as error:
            raise ImportError(
                "sync.policy: message_filters needs the Python package message_filters, which cannot be imported "
                f"({error}); install ros-$ROS_DISTRO-message-filters and source ROS 2, or use sync.policy: nearest"
            ) from error
        self._inputs = (SimpleFilter(), SimpleFilter())
        self._matches: list[tuple] = []
        # Kept, because it owns the queues.
        self._synchronizer = ApproximateTimeSynchronizer(self._inputs, _QUEUE_SIZE, max_difference * 1e-9)
        # The callback must not raise: the synchronizer would keep its lock for ever.
        self._synchronizer.registerCallback(lambda *pair: self._matches.append(tuple(one.payload for one in pair)))

    def accepts(self, stream: int, time: int) -> bool:
        return True

    def add(self, stream: int, time: int, payload) -> list[tuple]:
        """Add a frame; return the (visible payload, thermal payload) pairs found with it."""
        from rclpy.clock import ClockType
        from rclpy.time import Time

        stamp = Time(nanoseconds=time, clock_type=ClockType.ROS_TIME)
        self._matches.clear()
        self._inputs[stream].signalMessage(SimpleNamespace(header=SimpleNamespace(stamp=stamp), payload=payload))
        return list(self._matches)

    def finish(self) -> list[tuple]:
        """Nothing: a pair never waits here."""
        return []
