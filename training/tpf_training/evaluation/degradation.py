"""One camera failing in the course of a sequence."""

from dataclasses import dataclass

import numpy as np

MODALITIES = ("visible", "thermal")


@dataclass(frozen=True)
class Degradation:
    """From frame `start` of a sequence on (0 is the one with the given box), `modality` is gone.

    black: its images are black, which the tracker is not told; otherwise there are none, as where the node has
    recognised a black camera and dropped it.
    """

    modality: str
    start: int
    black: bool

    def apply(
        self, index: int, visible: np.ndarray | None, thermal: np.ndarray | None
    ) -> tuple[np.ndarray | None, np.ndarray | None]:
        """The images of frame `index` as the tracker gets them."""
        if index < self.start:
            return visible, thermal
        if self.modality == "visible":
            return self._gone(visible), thermal
        return visible, self._gone(thermal)

    def _gone(self, image: np.ndarray | None) -> np.ndarray | None:
        return np.zeros_like(image) if self.black and image is not None else None
