"""A tracker's result files: a text file a sequence, in it a box a frame, as most public trackers write them."""

from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from tpf_training.datasets.number_lines import read_number_lines
from tpf_training.datasets.record import DatasetError
from tpf_training.evaluation.one_pass import EvaluationError, Run
from tpf_training.evaluation.rules import Rules
from tpf_training.whole_file import whole_file

TIMES = "_time"  # ends the name of the file beside a sequence's boxes that holds its seconds


def result_file(folder: Path, sequence: str) -> Path:
    """Where the boxes of `sequence` are. The file is there only when it is whole."""
    return folder / f"{sequence}.txt"


def damage_file(folder: Path, sequence: str) -> Path:
    """Where it says why there are no boxes of `sequence`: which file of the data set is damaged."""
    return folder / f"{sequence}.damaged"


def write_result(folder: Path, sequence: str, run: Run) -> None:
    """Write `<sequence>.txt`, a line x y w h a frame, and `<sequence>_time.txt`, the seconds a frame (as pytracking).

    The first line is the given box, and how long the tracker's initialisation took. Tabs between numbers; boxes have 4
    decimals, seconds 6.
    """
    write_lines(folder / f"{sequence}{TIMES}.txt", (f"{seconds:.6f}" for seconds in run.seconds))
    write_lines(result_file(folder, sequence), ("\t".join(f"{value:.4f}" for value in box) for box in run.boxes))


def write_lines(file: Path, lines: Iterable[str]) -> None:
    """Write `file`, which is there only when it is whole, also where the process is killed.

    Several processes may write the same one, also on machines of their own. EvaluationError where it cannot be written.
    """
    try:
        with whole_file(file) as part:
            part.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    except OSError as error:
        raise EvaluationError(f"{file}: cannot be written: {error.strerror}") from error


def name_results(folder: Path, names: list[str]) -> dict[str, Path]:
    """The file of each sequence in `names`, which need not be there.

    Files are called `<sequence>.txt`, or with a prefix and a suffix that all of them share, as in public archives, e.g.
    `<tracker>_<sequence>.txt`. Files of times, `<sequence>_time.txt`, are none. EvaluationError where the folder
    holds no file of any of them, or all of them with one prefix and suffix and again with others.
    """
    if not folder.is_dir():
        raise EvaluationError(f"{folder}: no such folder")
    affixes: Counter[tuple[str, str]] = Counter()
    stems = (path.stem for path in folder.glob("*.txt"))
    for stem in (stem for stem in stems if stem in names or not stem.endswith(TIMES)):
        affixes.update({tuple(stem.split(name, 1)) for name in names if name in stem})
    if not affixes:
        raise EvaluationError(f"{folder}: no result files, expected <sequence>.txt, e.g. {names[0]}.txt")
    prefix, suffix = max(affixes, key=lambda affix: (affixes[affix], -len("".join(affix))))
    others = [affix for affix in affixes if affix != (prefix, suffix) and affixes[affix] == len(names) > 1]
    if (prefix, suffix) != ("", "") and others:
        found = " and ".join(f"{before}<sequence>{after}.txt" for before, after in [(prefix, suffix), *others])
        raise EvaluationError(f"{folder}: has results of several trackers, {found}: put each into a folder of its own")
    return {name: folder / f"{prefix}{name}{suffix}.txt" for name in names}


def read_result(file: Path, frames: int, rules: Rules, every: int = 1, cut: bool = False) -> np.ndarray:
    """(frames, 4) float64 x, y, w, h of every `every`th line, beginning with the first.

    A line holds x y w h, or the four corners x1 y1 .. x4 y4, clockwise from the top left. cut: lines beyond the last
    frame are left out; otherwise they are an error, as too few always are. DatasetError names the file.
    """
    numbers = read_number_lines(file, (4, 8), rules.nan_held)
    lines = len(numbers)
    numbers = numbers[::every]
    if len(numbers) < frames or (len(numbers) > frames and not cut):
        rate = "" if every == 1 else f" with a box, every {every}th"
        raise DatasetError(f"{file}: has {lines} lines, the sequence has {frames} frames{rate}")
    numbers = numbers[:frames]
    return numbers if numbers.shape[1] == 4 else _from_corners(numbers, rules)


def _from_corners(corners: np.ndarray, rules: Rules) -> np.ndarray:
    if rules.rounded:
        corners = np.round(corners.astype(np.float32 if rules.single else np.float64))
    low = corners[:, [0, 1]]
    size = corners[:, [2, 5]] - low + rules.inclusive_corners
    # To whole pixels: all toolkits agree on that.
    return np.round(np.concatenate([low, size], axis=1)).astype(np.float64)
