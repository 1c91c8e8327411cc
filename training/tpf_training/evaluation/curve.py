"""A benchmark's score: the share of frames that pass, by threshold, and the one number that the curve comes to."""

from dataclasses import dataclass

import numpy as np

_PASSES = {"<=": np.less_equal, "<": np.less, ">": np.greater}
MEAN, AREA = "mean", "area"


@dataclass(frozen=True)
class Curve:
    """How a score is computed.

    name: as in the tables, e.g. PR. quantity: `overlaps`, `errors` or `normalised_errors`, see `Scores`. passes: a
    frame does where its quantity is `<=`, `<` or `>` the threshold. score: the number is the curve's value at the
    threshold of this index, its MEAN, or the AREA under it by trapezoids.
    """

    name: str
    quantity: str
    passes: str
    thresholds: tuple[float, ...]
    score: int | str

    def count(self, values: np.ndarray) -> np.ndarray:
        """(T,) how many of the (N,) values pass at each threshold."""
        return _PASSES[self.passes](values[:, None], np.array(self.thresholds)).sum(axis=0)

    def number(self, shares: np.ndarray) -> float:
        """The score, 0..1, of (T,) shares of frames that pass."""
        if self.score == MEAN:
            return float(shares.mean())
        if self.score == AREA:
            return float(np.diff(self.thresholds) @ (shares[1:] + shares[:-1]) / 2)
        return float(shares[self.score])
