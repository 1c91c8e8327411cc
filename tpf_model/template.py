"""NDTU, the template rule: which past crop becomes the dynamic template, and when."""

from collections.abc import Callable
from typing import Generic, TypeVar

Crop = TypeVar("Crop")


class TemplateRule(Generic[Crop]):
    """Every frame whose score exceeds `score` overwrites one buffer; every `interval` frames the buffer is due.

    The rule keeps whatever `crop` returns. Handing it raw crops and fusing only the one that comes back gives the same
    template as fusing every confident frame, at a fraction of the cost.
    """

    def __init__(self, interval: int = 50, score: float = 0.65):
        self._interval = interval
        self._score = score
        self._frames = 0
        self._buffer: Crop | None = None

    def observe(self, score: float, crop: Callable[[], Crop]) -> Crop | None:
        """Count one tracked frame and return the crop that becomes the dynamic template now, or None to keep the last.

        `crop` is called only where the frame's `score` is high enough.
        """
        self._frames += 1
        if score > self._score:
            self._buffer = crop()
        if self._frames % self._interval:
            return None
        # An unchanged buffer would become the template that it already is.
        due, self._buffer = self._buffer, None
        return due
