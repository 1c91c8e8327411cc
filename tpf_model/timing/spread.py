"""A measured number and how much it varied."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Spread:
    """The median of several measurements, and the quartiles `low` (25 %) and `high` (75 %)."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: np.ndarray) -> "Spread":
        """values: (N,), N >= 1."""
        low, median, high = np.percentile(values, (25, 50, 75))
        return cls(float(median), float(low), float(high))
