"""NDTU, the template rule: which past view of the target becomes the dynamic template, and when."""

from typing import Generic, TypeVar

View = TypeVar("View")


class TemplateRule(Generic[View]):
    """Every frame whose score exceeds `score` overwrites one buffer; every `interval` frames the buffer is due.

    The rule keeps whatever it is given. Handing it the frame and where the target is in it, and cropping and fusing
    only what comes back, gives the same template as fusing every confident frame, and costs a frame nothing.
    """

    def __init__(self, interval: int, score: float):
        self._interval = interval
        self._score = score
        self._frames = 0
        self._buffer: View | None = None

    def observe(self, score: float, view: View) -> View | None:
        """Count one tracked frame; return the view that becomes the dynamic template now, or None to keep the last."""
        self._frames += 1
        if score > self._score:
            self._buffer = view
        if self._frames % self._interval:
            return None
        # An unchanged buffer would become the template that it already is.
        due, self._buffer = self._buffer, None
        return due
