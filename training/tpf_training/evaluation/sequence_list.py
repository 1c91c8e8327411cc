"""Which of a data set's sequences count."""

import difflib
from collections.abc import Iterable
from pathlib import Path
from typing import TypeVar

from tpf_training.datasets.name_list import read_names
from tpf_training.datasets.record import DatasetError

ALL = "all"
T = TypeVar("T")


def choose_sequences(
    found: dict[str, T], root: Path, tests: Iterable[str], listed: str | None = None
) -> tuple[dict[str, T], str]:
    """Those of `found`, by name, that count, and what chose them, for a report.

    listed: a file that names sequences, one a line, or ALL; None: the first of the test lists `tests` that lies in
    `root` or beside it, and all where none does. DatasetError for a name that is not among `found`.
    """
    list_file = Path(listed) if listed not in (None, ALL) else None
    if listed is None:
        list_file = next((path for path in (beside(root, name) for name in tests) if path), None)
    if list_file is None:
        return found, "all"
    names = read_names(list_file)
    if not names:
        raise DatasetError(f"{list_file}: names no sequences")
    for name in names:
        if name not in found:
            near = difflib.get_close_matches(name, found, 1)
            hint = f", did you mean {near[0]}?" if near else ""
            raise DatasetError(f"{list_file}: there is no sequence {name!r} in {root}{hint}")
    return {name: found[name] for name in names}, str(list_file)


def by_name(entries: Iterable[tuple[str, T]], root: Path) -> dict[str, T]:
    """`entries` by their names; DatasetError where two have the same, as their result files would be one."""
    found: dict[str, T] = {}
    for name, entry in entries:
        if name in found:
            raise DatasetError(f"{root}: two sequences are called {name!r}")
        found[name] = entry
    return found


def beside(root: Path, name: str) -> Path | None:
    """The file or folder `name` in `root` or beside it, where there is one."""
    return next((path for path in (root / name, root.parent / name) if path.exists()), None)
