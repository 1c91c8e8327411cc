"""How one sequence went: each frame's overlap, and where the target was lost."""

from dataclasses import dataclass

import numpy as np

from tpf_training.evaluation.benchmarks import Benchmark
from tpf_training.evaluation.ground_truth import TruthFiles, read_truth
from tpf_training.evaluation.metrics.robustness import KEPT, spans_lost
from tpf_training.evaluation.result_files import read_result
from tpf_training.evaluation.score import Scored
from tpf_training.evaluation.tally import measure


@dataclass(frozen=True)
class Course:
    """A sequence of N frames with true boxes; `frames`: (N,) their numbers in the sequence.

    truths: (N, 4) of one or both modalities. boxes: (N, 4) by tracker, as they were written; overlaps: (N,) by
    tracker, NaN where the target is absent. present: (N,) bool, where it is not. lost: first and last index, of N, of
    each stretch in which the subject's overlap is at most 0.3.
    """

    frames: np.ndarray
    truths: tuple[np.ndarray, ...]
    boxes: dict[str, np.ndarray]
    overlaps: dict[str, np.ndarray]
    present: np.ndarray
    lost: list[tuple[int, int]]

    @property
    def failure(self) -> tuple[int, int] | None:
        """The longest of `lost`."""
        return max(self.lost, key=lambda span: span[1] - span[0], default=None)


def read_course(scored: Scored, sequence: TruthFiles, subject: str, cut: bool) -> Course:
    """Of all trackers that could be scored on the sequence; the subject could."""
    benchmark = scored.benchmark
    truths = read_truth(sequence, benchmark)
    count = len(truths[0])
    boxes = {
        name: read_result(files[sequence.name], count, benchmark.rules, benchmark.every, cut)
        for name, files in scored.files.items()
        if sequence.name in scored.report["trackers"][name]["sequences"]
    }
    overlaps = {name: _overlaps(given, truths, benchmark) for name, given in boxes.items()}
    present = np.isfinite(overlaps[subject])
    lost = spans_lost(overlaps[subject] > KEPT, present)
    return Course(np.arange(count) * benchmark.every, truths, boxes, overlaps, present, lost)


def _overlaps(boxes: np.ndarray, truths: tuple[np.ndarray, ...], benchmark: Benchmark) -> np.ndarray:
    values = measure(boxes, truths, benchmark)["overlaps"].astype(np.float64)
    shown = np.any([np.all(truth[:, 2:] > 0, axis=1) for truth in truths], axis=0)
    return np.where(shown & (values >= 0), values, np.nan)
