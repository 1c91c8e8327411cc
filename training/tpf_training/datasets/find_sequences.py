"""Which folders of a data set are sequences, and which of them a split takes."""

import difflib
from collections.abc import Iterator
from pathlib import Path

from tpf_training.datasets.damage import tolerate
from tpf_training.datasets.image_folder import natural_key
from tpf_training.datasets.record import DatasetError

DEPTH = 3  # <split>/<group>/<sequence>


def find_sequences(
    root: Path, parts: tuple[str, ...], split: Path | str | None, skipped: list[DatasetError] | None = None
) -> list[tuple[str, Path]]:
    """(name, folder) of the sequences under `root`: the folders that hold one of the folders `parts`.

    split: None takes the sequences directly in `root`; the name of a folder in it, those in that folder, grouped or
    not; a text file, absolute or in `root`, those it lists, one a line, by their folder's name or its path below
    `root`. A name is the path below `root`, or below the split's folder. DatasetError where there are none, and for a
    listed sequence that is not there, which is counted where `skipped` is given.
    """
    root = Path(root)
    if not root.is_dir():
        raise DatasetError(f"{root}: no such folder")
    if split is None:
        found = [(path.name, path) for path in sequence_folders(root, parts, 1)]
        if not found and any(sequence_folders(root, parts, DEPTH)):
            folders = ", ".join(path.name for path in _children(root))
            raise DatasetError(f"{root}: no sequences directly in it: give a split, a list file or one of {folders}")
    elif (root / split).is_dir():
        folder = root / split
        found = [(path.relative_to(folder).as_posix(), path) for path in sequence_folders(folder, parts, DEPTH - 1)]
    elif (root / split).is_file():
        found = _listed(root, root / split, parts, skipped)
    else:
        folders = ", ".join(path.name for path in _children(root))
        raise DatasetError(f"{root / split}: no such split, expected a list file or one of the folders {folders}")
    if not found:
        where = root if split is None else root / split
        raise DatasetError(f"{where}: no sequences, expected folders with {' and '.join(parts)} in them")
    return found


def _listed(
    root: Path, list_file: Path, parts: tuple[str, ...], skipped: list[DatasetError] | None
) -> list[tuple[str, Path]]:
    places: dict[str, list[Path]] = {}
    for path in sequence_folders(root, parts, DEPTH):
        for name in {path.name, path.relative_to(root).as_posix()}:
            places.setdefault(name, []).append(path)
    found = []
    for number, line in enumerate(list_file.read_text(encoding="utf-8-sig").splitlines(), start=1):
        name = line.strip().rstrip("/")
        if not name:
            continue
        with tolerate(skipped):
            if name not in places:
                near = difflib.get_close_matches(name, places, 1)
                hint = f", did you mean {near[0]}?" if near else ""
                raise DatasetError(f"{list_file}: line {number}: no sequence {name!r} below {root}{hint}")
            if len(places[name]) > 1:
                folders = ", ".join(str(path) for path in places[name])
                raise DatasetError(f"{list_file}: line {number}: {name!r} may be any of {folders}")
            path = places[name][0]
            found.append((path.relative_to(root).as_posix(), path))
    return found


def sequence_folders(folder: Path, parts: tuple[str, ...], depth: int = DEPTH) -> Iterator[Path]:
    """The sequences up to `depth` levels below `folder`; what is inside of a sequence is not looked at."""
    for child in _children(folder):
        if any((child / part).is_dir() for part in parts):
            yield child
        elif depth > 1:
            yield from sequence_folders(child, parts, depth - 1)


def _children(folder: Path) -> list[Path]:
    children = (path for path in folder.iterdir() if not path.name.startswith(".") and path.is_dir())
    return sorted(children, key=lambda path: natural_key(path.name))
