"""Which moments of two cameras belong together."""

import numpy as np


def pair_stamps(first: np.ndarray, second: np.ndarray, max_difference: int) -> np.ndarray:
    """(P, 2) indices of stamps in `first` (N,) and `second` (M,), int ns in any order, in the order of `first`'s time.

    Each is paired with the nearest one of the other, at most once and at most `max_difference` ns apart; where several
    have the same nearest one, the closest of them gets it.
    """
    order, other = np.argsort(first, kind="stable"), np.argsort(second, kind="stable")
    if not len(order) or not len(other):
        return np.zeros((0, 2), int)
    a, b = first[order], second[other]
    after = np.clip(np.searchsorted(b, a), 0, len(b) - 1)
    before = np.maximum(after - 1, 0)
    nearest = np.where(np.abs(b[before] - a) <= np.abs(b[after] - a), before, after)
    difference = np.abs(b[nearest] - a)
    pairs: dict[int, int] = {}  # by the place in `b`
    for i in np.flatnonzero(difference <= max_difference).tolist():
        rival = pairs.get(int(nearest[i]))
        if rival is None or difference[i] < difference[rival]:
            pairs[int(nearest[i])] = i
    return np.array([(order[i], other[j]) for j, i in sorted(pairs.items())], dtype=int).reshape(-1, 2)
