"""A row of the table that `tpf bench` makes: what is wanted, and what was measured."""

from dataclasses import dataclass, field

from tpf_model.timing.spread import Spread


@dataclass(frozen=True)
class Target:
    """What a row measures and what is wanted of it.

    name: its group ("gpu", "cpu", "start", "error") and its own name, joined by a dot. unit: "x" and "share" are
    ratios of two times of one run. bound: ">=" or "<=", how the value has to be to `limit`.
    """

    name: str
    what: str
    unit: str
    bound: str
    limit: float

    @property
    def group(self) -> str:
        return self.name.partition(".")[0]

    def is_met(self, value: float) -> bool:
        return value >= self.limit if self.bound == ">=" else value <= self.limit


@dataclass(frozen=True)
class Measured:
    """value: with its quartiles where it varies. parts: the numbers behind it by name and unit, "ours (ms)"."""

    value: Spread | float
    device: str
    parts: dict[str, float] = field(default_factory=dict)


class NotMeasured(Exception):
    """Why a row has no value here. `failed`: it should have had one."""

    def __init__(self, reason: str, failed: bool = False):
        super().__init__(reason)
        self.reason, self.failed = reason, failed


Results = dict[str, Measured | NotMeasured]  # by the name of the row


def to_json(target: Target, result: Measured | NotMeasured, machine: str) -> dict:
    """The row as `tpf bench --json` writes it: what is wanted and measured, then what explains it; six digits."""
    row = {"name": target.name, "value": None, "unit": target.unit, "target": target.limit, "passed": None}
    more = {"bound": target.bound, "what": target.what}
    if isinstance(result, NotMeasured):
        return row | {"device": None} | more | {"machine": machine, "reason": result.reason}
    spread = isinstance(result.value, Spread)
    value = result.value.median if spread else result.value
    row |= {"value": _round(value), "passed": target.is_met(value), "device": result.device}
    quartiles = {"low": _round(result.value.low), "high": _round(result.value.high)} if spread else {}
    parts = {name: _round(part) for name, part in result.parts.items()}
    return row | more | {"machine": machine} | quartiles | {"parts": parts}


def _round(value: float) -> float:
    return float(f"{value:.6g}")
