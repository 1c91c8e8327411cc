"""Checks of configuration values: a ValueError names the key and says what is accepted."""

import dataclasses
import difflib
import math
from collections.abc import Iterable


def check_range(key: str, value: float, low: float, high: float = math.inf) -> None:
    """`value` must be a number within `low` and `high`, both accepted."""
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not number or not math.isfinite(value) or not low <= value <= high:
        accepted = f"{low:g} or more" if high == math.inf else f"{low:g} to {high:g}"
        raise ValueError(f"{key} is {value!r}; accepted: {accepted}")


def check_whole(key: str, value: int, low: int) -> None:
    """`value` must be a whole number of at least `low`."""
    if not isinstance(value, int) or isinstance(value, bool) or value < low:
        raise ValueError(f"{key} is {value!r}; accepted: a whole number of {low} or more")


def check_name(key: str, name: str, known: Iterable[str]) -> None:
    """`name` must be one of `known`; the error names the nearest of them."""
    known = list(known)
    if name not in known:
        near = difflib.get_close_matches(str(name), known, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"accepted: {', '.join(known)}"
        raise ValueError(f"{key} has an unknown name {name!r}; {hint}")


def check_unused(key: str, config, default, used: Iterable[str]) -> None:
    """Of the dataclass `config` only the fields in `used` may differ from `default`: others would have no effect."""
    for field in dataclasses.fields(config):
        if field.name not in used and getattr(config, field.name) != getattr(default, field.name):
            raise ValueError(f"{key}.{field.name} has no effect in this phase; accepted: {', '.join(used)}")


def merge_weights(key: str, weights: dict[str, float], defaults: dict[str, float]) -> dict[str, float]:
    """`defaults` with the entries of `weights` in their place; each 0 or more, and not all 0."""
    for name, weight in weights.items():
        check_name(key, name, defaults)
        check_range(f"{key}.{name}", weight, 0)
    merged = defaults | weights
    if not any(merged.values()):
        raise ValueError(f"{key} has only weights of 0; accepted: at least one of {', '.join(merged)} above 0")
    return merged
