"""Progress lines on stderr."""

import sys
import time


class StatusLine:
    """One line that is updated in place on a terminal; every 10 s a new one in a log file."""

    def __init__(self):
        self._terminal = sys.stderr.isatty()
        self._period = 0.2 if self._terminal else 10.0
        self._start = self._shown = time.monotonic()

    @property
    def seconds(self) -> float:
        """Since the start."""
        return time.monotonic() - self._start

    def is_due(self) -> bool:
        return time.monotonic() - self._shown >= self._period

    def show(self, line: str) -> None:
        self._shown = time.monotonic()
        print(f"\r{line:<90}" if self._terminal else f"{line}\n", end="", file=sys.stderr, flush=True)

    def finish(self, line: str) -> None:
        """Show the last one."""
        self.show(line)
        if self._terminal:
            print(file=sys.stderr)


class Progress:
    """Shows `done/total` frames and the rate while it runs."""

    def __init__(self, total: int):
        self._total, self._done, self._status = total, 0, StatusLine()

    def step(self) -> None:
        self._done += 1
        if self._status.is_due():
            self._status.show(self._line())

    def finish(self) -> None:
        """Show the final count."""
        self._status.finish(self._line())

    def _line(self) -> str:
        rate = self._done / max(self._status.seconds, 1e-9)
        return f"{self._done}/{self._total} frames, {rate:.1f} frames/s"
