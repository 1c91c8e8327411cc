"""A mailbox of one slot between the callbacks and the worker thread: the newest item wins."""

import threading
from typing import Generic, TypeVar

T = TypeVar("T")


class Mailbox(Generic[T]):
    """Holds the newest item until it is taken; an item that was not taken in time is dropped and counted.

    So a slow taker skips items and never falls behind. Thread-safe, any number of threads on either side.
    """

    def __init__(self):
        self._ready = threading.Condition()
        self._items: list[T] = []  # none or one
        self._dropped = 0
        self._woken = False
        self._closed = False

    def put(self, item: T) -> None:
        """Store `item`, replacing one not yet taken. After close it is ignored."""
        with self._ready:
            if not self._closed:
                self._dropped += len(self._items)
                self._items[:] = [item]
                self._ready.notify()

    def take(self, timeout: float | None = None) -> T | None:
        """Remove and return the item, waiting up to `timeout` s (None: forever); None on timeout, `wake` or `close`."""
        with self._ready:
            self._ready.wait_for(lambda: self._items or self._woken or self._closed, timeout)
            self._woken = False
            return self._items.pop() if self._items else None

    def wake(self) -> None:
        """Let the `take` that waits return, or the next one, with or without an item."""
        with self._ready:
            self._woken = True
            self._ready.notify()

    def close(self) -> None:
        """Drop what is waiting (not counted) and let every `take` return None, now and from now on."""
        with self._ready:
            self._closed = True
            self._items.clear()
            self._ready.notify_all()

    @property
    def closed(self) -> bool:
        return self._closed

    @property
    def dropped(self) -> int:
        """Items replaced before they were taken."""
        return self._dropped
