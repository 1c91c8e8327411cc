"""A line on stderr that says how far something is."""

import sys
import time
from collections.abc import Callable


class StatusLine:
    """Updated in place on a terminal; every 10 s a new one in a log file. `text(seconds since the start)` makes it."""

    def __init__(self, text: Callable[[float], str]):
        self._text = text
        self._terminal = sys.stderr.isatty()
        self._period = 0.2 if self._terminal else 10.0
        self._start = self._shown = time.monotonic()

    def show(self, last: bool = False) -> None:
        """Print it where it is due, or for the last time."""
        now = time.monotonic()
        if last or now - self._shown >= self._period:
            self._shown = now
            line = self._text(now - self._start)
            end = "" if self._terminal and not last else "\n"
            print(f"\r{line:<90}" if self._terminal else line, end=end, file=sys.stderr, flush=True)
