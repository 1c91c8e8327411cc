"""Times of several candidates, measured in turns, so that what disturbs a shared machine disturbs all of them alike."""

import math
import time
from collections.abc import Callable, Mapping

import numpy as np
import torch

from tpf_model.timing.spread import Spread

WARM_UP = 3  # calls of each candidate that are not measured
_SHORTEST = {"cpu": 0.2e-3, "cuda": 5e-3}  # s; a candidate is called so often in a row that a measurement lasts as long


class Timings:
    """Seconds a call of each candidate by name, (rounds,) each; the n-th ones were measured right after each other."""

    def __init__(self, seconds: Mapping[str, np.ndarray]):
        self.seconds = dict(seconds)

    def spread(self, name: str) -> Spread:
        return Spread.of(self.seconds[name])

    def milliseconds(self) -> dict[str, float]:
        """Each candidate's median, by its name and the unit."""
        return {f"{name} (ms)": 1e3 * self.spread(name).median for name in self.seconds}

    def ratio(self, above: str, below: str) -> Spread:
        """Of the time of `above` to that of `below` in each round: what slows a whole round down cancels out."""
        return Spread.of(self.seconds[above] / self.seconds[below])


def time_side_by_side(
    candidates: Mapping[str, Callable[[], object]],
    device: torch.device | str = "cpu",
    seconds: float = 10.0,
    rounds: tuple[int, int] = (5, 200),
    single: bool = False,
) -> Timings:
    """Call all candidates in turns, A B A B ..., for about `seconds`, at least and at most so many `rounds`.

    A short one is called several times in a row, for the clock's sake, and the mean taken; with `single` never.
    On a GPU all work queued before a measurement has ended when it begins, and what it queued when it ends.
    """
    device = torch.device(device)
    calls = {name: _warm_up(call, device) for name, call in candidates.items()}
    if single:
        calls = dict.fromkeys(candidates, 1)
    measured: dict[str, list[float]] = {name: [] for name in candidates}
    fewest, most = rounds
    begin = time.perf_counter()
    for number in range(most):
        for name, call in candidates.items():
            measured[name].append(time_call(call, device, calls[name]))
        if number + 1 >= fewest and time.perf_counter() - begin >= seconds:
            break
    return Timings({name: np.array(values) for name, values in measured.items()})


def time_call(call: Callable[[], object], device: torch.device, calls: int = 1) -> float:
    """Seconds a call, the mean of `calls` in a row."""
    _wait(device)
    begin = time.perf_counter()
    for _ in range(calls):
        call()
    _wait(device)
    return (time.perf_counter() - begin) / calls


def _warm_up(call: Callable[[], object], device: torch.device) -> int:
    """How often `call` has to be called in a row to be measured."""
    for _ in range(WARM_UP):
        once = time_call(call, device)
    return math.ceil(_SHORTEST[device.type] / once)


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
