"""Scores of trackers on sequences: one after the other, or in several processes."""

import functools
import multiprocessing
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

from tpf_training.evaluation.clips import VideoSequence
from tpf_training.evaluation.degradation import Degradation
from tpf_training.evaluation.entrants import Entrant, TPFEntrant
from tpf_training.evaluation.one_pass import EvaluationError, OnePassTracker, Sequence, run_one_pass
from tpf_training.evaluation.rules import CLIPS, Rules
from tpf_training.evaluation.scores import Scores, score_boxes


@dataclass(frozen=True)
class Result:
    """What one entrant reached on one sequence, tracking `tracked` frames in `seconds`."""

    entrant: str
    sequence: str
    scores: Scores
    tracked: int
    seconds: float


def evaluate(
    weights: Path, sequences: Iterable[VideoSequence], ndtu: bool = True, frames: int | None = None
) -> dict[str, dict[str, float]]:
    """Scores of a weights file's tracker by the name of the sequence: `sr`, `pr`, `npr` and `kept`, all 0..1.

    sequences: as `read_paired` and `read_single` give them. ndtu: whether the dynamic template is updated. frames: of
    each sequence, only the first so many. EvaluationError for weights that cannot be used.
    """
    entrant = TPFEntrant(weights.stem, None, weights, ndtu)
    tracker = entrant.open()
    sequences = [sequence.head(frames) if frames else sequence for sequence in sequences]
    return {sequence.name: _run(entrant.name, tracker, sequence).scores.summary() for sequence in sequences}


def evaluate_all(
    entrants: list[Entrant],
    sequences: list[Sequence],
    rules: Rules = CLIPS,
    degradation: Degradation | None = None,
    workers: int = 1,
    finished: Callable[[Result], None] = lambda result: None,
) -> list[Result]:
    """Every entrant on every sequence that suits it, in the order of both; `finished` sees each result as it comes.

    workers: processes; more than one take time from each other, and `seconds` says less. EvaluationError where an
    entrant cannot be opened, before any runs.
    """
    _check_degradation(sequences, degradation)
    for entrant in entrants:
        entrant.open()
    jobs = [(e, s, rules, degradation) for e in entrants for s in sequences if e.suits(s)]
    results = {}
    for result in _work(jobs, workers):
        finished(result)
        results[result.entrant, result.sequence] = result
    return [results[entrant.name, sequence.name] for entrant, sequence, *_ in jobs]


def _check_degradation(sequences: list[Sequence], degradation: Degradation | None) -> None:
    for sequence in sequences if degradation else ():
        if degradation.modality not in sequence.modalities:
            raise EvaluationError(f"{sequence.name} has no {degradation.modality} images that could fail")
        if sequence.modalities == (degradation.modality,):
            raise EvaluationError(f"{sequence.name} has only {degradation.modality} images: none would be left")


def _work(jobs: list[tuple], workers: int) -> Iterator[Result]:
    if workers == 1:
        yield from (_job(*job) for job in jobs)
        return
    # Not forked: neither PyTorch's nor OpenCV's threads survive that.
    with ProcessPoolExecutor(workers, multiprocessing.get_context("spawn")) as pool:
        futures = [pool.submit(_job, *job) for job in jobs]
        try:
            for future in as_completed(futures):
                yield future.result()
        finally:
            pool.shutdown(cancel_futures=True)


def _job(entrant: Entrant, sequence: Sequence, rules: Rules, degradation: Degradation | None) -> Result:
    return _run(entrant.name, _open(entrant), sequence, rules, degradation)


@functools.lru_cache(maxsize=1)  # jobs come by entrant
def _open(entrant: Entrant) -> OnePassTracker:
    return entrant.open()


def _run(
    name: str, tracker: OnePassTracker, sequence: Sequence, rules: Rules = CLIPS, degradation: Degradation | None = None
) -> Result:
    run = run_one_pass(tracker, sequence, degradation)
    scores = score_boxes(run.boxes, sequence.boxes, sequence.present, rules)
    return Result(name, sequence.name, scores, len(run.seconds), float(run.seconds.sum()))
