"""A progress line on stderr."""

import sys
import time


class Progress:
    """Shows `done/total` and the rate while it runs: in place on a terminal, as a line every 10 s in a log file."""

    def __init__(self, total: int, unit: str = "frames"):
        self._total, self._unit = total, unit
        self._done = 0
        self._terminal = sys.stderr.isatty()
        self._period = 0.2 if self._terminal else 10.0
        self._start = self._shown = time.monotonic()

    def step(self) -> None:
        self._done += 1
        now = time.monotonic()
        if now - self._shown >= self._period:
            self._show(now)

    def finish(self) -> None:
        """Show the final count."""
        self._show(time.monotonic())
        if self._terminal:
            print(file=sys.stderr)

    def _show(self, now: float) -> None:
        self._shown = now
        rate = self._done / max(now - self._start, 1e-9)
        line = f"{self._done}/{self._total} {self._unit}, {rate:.1f} {self._unit}/s"
        line = f"\r{line:<60}" if self._terminal else f"{line}\n"
        print(line, end="", file=sys.stderr, flush=True)
