"""Scores of trackers on sequences: one after the other, or in several processes."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from tpf_model.config import AUTO
from tpf_training.datasets.record import DatasetError
from tpf_training.evaluation.clips import VideoSequence
from tpf_training.evaluation.degradation import Degradation
from tpf_training.evaluation.entrants import Entrant, TPFEntrant
from tpf_training.evaluation.one_pass import EvaluationError, Run, Sequence, run_one_pass
from tpf_training.evaluation.rules import CLIPS, Rules
from tpf_training.evaluation.run_jobs import Job, open_tracker, run_jobs
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
    each sequence, only the first so many. The tracker goes by the published rule, see `tracker_config`.
    EvaluationError for weights that cannot be used.
    """
    entrant = TPFEntrant(weights.stem, AUTO, weights, ndtu, published=True)
    tracker = entrant.open()
    sequences = [sequence.head(frames) if frames else sequence for sequence in sequences]
    runs = ((sequence, run_one_pass(tracker, sequence)) for sequence in sequences)
    return {sequence.name: _result(entrant.name, sequence, run, CLIPS).scores.summary() for sequence, run in runs}


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
    entrant cannot be opened, before any runs; DatasetError for a damaged sequence.
    """
    _check_degradation(sequences, degradation)
    for entrant in entrants:
        open_tracker(entrant)
    jobs = [Job(e, s, degradation) for e in entrants for s in sequences if e.suits(s)]
    results = {}
    for job, run in run_jobs(jobs, workers):
        if isinstance(run, DatasetError):
            raise run
        result = _result(job.entrant.name, job.sequence, run, rules)
        finished(result)
        results[result.entrant, result.sequence] = result
    return [results[job.entrant.name, job.sequence.name] for job in jobs]


def _check_degradation(sequences: list[Sequence], degradation: Degradation | None) -> None:
    for sequence in sequences if degradation else ():
        if degradation.modality not in sequence.modalities:
            raise EvaluationError(f"{sequence.name} has no {degradation.modality} images that could fail")
        if sequence.modalities == (degradation.modality,):
            raise EvaluationError(f"{sequence.name} has only {degradation.modality} images: none would be left")


def _result(entrant: str, sequence: Sequence, run: Run, rules: Rules) -> Result:
    scores = score_boxes(run.boxes, sequence.boxes, sequence.present, rules)
    tracking = run.seconds[1:]
    return Result(entrant, sequence.name, scores, len(tracking), float(tracking.sum()))
