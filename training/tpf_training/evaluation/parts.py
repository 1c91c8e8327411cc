"""Parts of a sequence: its first frames, every n-th of them, later starts."""

from abc import ABC, abstractmethod
from typing import Self

import numpy as np

from tpf_training.datasets.record import DatasetError


class Parts(ABC):
    """For a `Sequence` that has `part`, which gives some of its frames as a sequence of the same kind."""

    name: str
    boxes: np.ndarray
    present: np.ndarray

    @abstractmethod
    def part(self, frames: slice, name: str) -> Self:
        """The sequence of these frames alone, under `name`; start and step of `frames` are given."""

    def head(self, count: int) -> Self:
        """The first `count` frames, or all where there are fewer."""
        return self.part(slice(0, count, 1), self.name)

    def stepped(self, step: int) -> Self:
        """Every `step`-th frame, as a slow camera, or a tracker on a slow computer, sees them.

        DatasetError where none of them but the first shows the target.
        """
        if not self.present[step::step].any():
            raise DatasetError(f"{self.name}: of every {step} frames only the very first shows the target")
        return self.part(slice(0, None, step), self.name)

    def anchored(self, every: int) -> list[Self]:
        """This one, and one more from each `every`-th of its frames on that shows the target and has another behind it.

        Where a tracker loses a target once and for all hangs on chance: more starts, as VOT's anchors are, say more.
        """
        starts = [start for start in range(every, len(self.boxes) - 1, every) if self.present[start]]
        return [self, *(self.part(slice(start, None, 1), f"{self.name}@{start}") for start in starts)]
