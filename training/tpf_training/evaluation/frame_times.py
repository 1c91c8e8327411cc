"""The times beside a tracker's results: `<sequence>_time.txt`, seconds a frame, one number a line.

The first is how long initialisation took, which is no part of a rate.
"""

from collections.abc import Iterable
from pathlib import Path

from tpf_training.datasets.number_lines import read_number_lines
from tpf_training.datasets.record import DatasetError
from tpf_training.evaluation.result_files import TIMES


def frame_rate(results: Iterable[Path]) -> float | None:
    """Frames a second over all of the result files that have times; None where none has.

    DatasetError names a file of times that is damaged or without a positive sum.
    """
    files = [file for file in map(time_file, results) if file.exists()]
    if not files:
        return None
    frames, seconds = 0, 0.0
    for file in files:
        times = read_number_lines(file, (1,)).ravel()
        if times.min() < 0 or times[1:].sum() <= 0:
            raise DatasetError(f"{file}: needs seconds a frame, none below 0, and not all 0 after the first")
        frames, seconds = frames + len(times) - 1, seconds + float(times[1:].sum())
    return frames / seconds


def time_file(result: Path) -> Path:
    """Where the times of a result file are."""
    return result.with_name(f"{result.stem}{TIMES}.txt")
