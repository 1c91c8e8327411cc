"""What happens to damaged parts of a data set: an error, or a counted skip."""

from collections.abc import Iterator
from contextlib import contextmanager

from tpf_training.datasets.record import DatasetError

SHOWN = 5


@contextmanager
def tolerate(skipped: list[DatasetError] | None) -> Iterator[None]:
    """Leave the block at a DatasetError, which is added to `skipped`; where that is None, raise it."""
    try:
        yield
    except DatasetError as error:
        if skipped is None:
            raise
        skipped.append(error)


def summary(skipped: list[DatasetError]) -> str:
    """How many were skipped, and the first of them."""
    lines = [f"skipped {len(skipped)} damaged:", *map(str, skipped[:SHOWN])]
    if len(skipped) > SHOWN:
        lines.append(f"and {len(skipped) - SHOWN} more")
    return "\n  ".join(lines)
