"""The true boxes of a public benchmark, in its published files, with or without the images beside them."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tpf_training.datasets.name_list import read_names
from tpf_training.datasets.number_lines import read_number_lines
from tpf_training.datasets.record import DatasetError
from tpf_training.evaluation.benchmarks import Benchmark, TruthLayout
from tpf_training.evaluation.sequence_list import beside, by_name, choose_sequences
from tpf_training.evaluation.sequences import Opener, find_openers

DEPTH = 3  # <split>/<group>/<sequence>


@dataclass(frozen=True)
class TruthSequence:
    """A sequence of a data set of ours, whose boxes are read together with its images."""

    name: str
    open: Opener


@dataclass(frozen=True)
class TruthFiles:
    """A sequence's files of boxes: one, or the visible and the thermal one."""

    name: str
    files: tuple[Path, ...]


Truth = TruthFiles | TruthSequence


def find_truth(root: Path, benchmark: Benchmark, listed: str | None = None) -> tuple[list[Truth], str]:
    """The sequences to score, and what chose them, for a report.

    root: the folder of the sequences, or up to two levels above. listed: see `choose_sequences`. DatasetError names
    what is missing.
    """
    if not root.is_dir():
        raise DatasetError(f"{root}: no such folder")
    if benchmark.truth is None:
        openers, by = find_openers(benchmark.name, root, listed=listed)
        return [TruthSequence(name, open_it) for name, open_it in openers.items()], by
    found = by_name(((truth.name, truth) for truth in _find(root, benchmark.truth)), root)
    if not found:
        expected = f"<sequence>/{' and '.join(benchmark.truth.boxes)}"
        expected += "".join(f" or {folder}/<sequence>.txt" for folder in benchmark.truth.flat)
        raise DatasetError(f"{root}: no true boxes of {benchmark.name}, expected {expected}")
    chosen, by = choose_sequences(found, root, benchmark.truth.test, listed)
    return list(chosen.values()), by


def read_truth(truth: Truth, benchmark: Benchmark) -> tuple[np.ndarray, ...]:
    """(N, 4) float64 x, y, w, h of each file, as they are written, also where the target is absent.

    Of data sets of ours: of the frames from the first to the last box, with NaN in those that do not count.
    """
    if isinstance(truth, TruthSequence):
        sequence = truth.open()
        return (np.where(sequence.present[:, None], sequence.boxes, np.nan).astype(np.float64),)
    read = [read_number_lines(file, (4,)) for file in truth.files]
    if benchmark.truth.corners:
        read = [np.concatenate([corners[:, :2], corners[:, 2:] - corners[:, :2]], axis=1) for corners in read]
    if len({len(boxes) for boxes in read}) > 1:
        counts = ", ".join(f"{file} has {len(boxes)}" for file, boxes in zip(truth.files, read, strict=True))
        raise DatasetError(f"{truth.name}: unequal numbers of boxes: {counts}")
    return tuple(read)


def read_attributes(root: Path, layout: TruthLayout | None, names: list[str]) -> dict[str, list[str]]:
    """By attribute, those of the sequences `names` that have it; empty where there are no files of attributes."""
    if layout is None:
        return {}
    if layout.attribute_lists and (folder := beside(root, layout.attribute_lists)):
        return _listed_attributes(folder, layout, names)
    folders = (beside(root, name) for name in layout.sequence_attributes)
    folder = next((path for path in folders if path), None)
    if folder is None:
        return {}
    width = len(layout.attributes)
    flags = {}
    for name in names:
        flags[name] = read_number_lines(folder / f"{name}.txt", (width, 1)).ravel()
        if len(flags[name]) != width:
            raise DatasetError(f"{folder / name}.txt: has {len(flags[name])} numbers, needs one an attribute: {width}")
    return {
        attribute: [name for name in names if flags[name][index] > 0]
        for index, attribute in enumerate(layout.attributes)
    }


def _listed_attributes(folder: Path, layout: TruthLayout, names: list[str]) -> dict[str, list[str]]:
    lines = read_names(folder / "SequencesName.txt")
    wanted, attributes = set(names), {}
    for attribute in layout.attributes:
        file = folder / f"{attribute}.txt"
        flags = read_number_lines(file, (1,)).ravel()
        if len(flags) != len(lines):
            raise DatasetError(f"{file}: has {len(flags)} lines, {folder / 'SequencesName.txt'} has {len(lines)}")
        attributes[attribute] = [name for name, flag in zip(lines, flags, strict=True) if flag > 0 and name in wanted]
    return attributes


def _find(root: Path, layout: TruthLayout) -> Iterator[TruthFiles]:
    in_folders = list(_walk(root, layout.boxes, DEPTH))
    if in_folders or not layout.flat:
        yield from in_folders
        return
    folder = next((root / name for name in layout.flat if (root / name).is_dir()), root)
    lists = {*layout.test}
    for path in sorted(folder.glob("*.txt")):
        if path.name not in lists:
            yield TruthFiles(path.stem, (path,))


def _walk(folder: Path, boxes: tuple[str, ...], depth: int) -> Iterator[TruthFiles]:
    for child in sorted(path for path in folder.iterdir() if path.is_dir()):
        if (child / boxes[0]).is_file():  # what is inside of a sequence, its images, is not looked at
            yield TruthFiles(child.name, tuple(child / name for name in boxes))
        elif depth > 1:
            yield from _walk(child, boxes, depth - 1)
