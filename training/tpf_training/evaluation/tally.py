"""What a tracker reached in a sequence of a benchmark, and the scores of many of them."""

from dataclasses import dataclass

import numpy as np

from tpf_training.evaluation.benchmarks import Benchmark
from tpf_training.evaluation.metrics.centre_error import centre_errors, normalised_centre_errors
from tpf_training.evaluation.metrics.overlap import overlaps
from tpf_training.evaluation.rules import as_counted

# Each quantity's metric, and which of the modalities' two values is the better one.
_QUANTITIES = {
    "overlaps": (overlaps, np.maximum),
    "errors": (centre_errors, np.minimum),
    "normalised_errors": (normalised_centre_errors, np.minimum),
}


@dataclass(frozen=True)
class Tally:
    """A sequence's frames that count, and how many pass at the (T,) thresholds of each of a benchmark's curves."""

    frames: int
    passed: dict[str, np.ndarray]


def tally(boxes: np.ndarray, truths: tuple[np.ndarray, ...], benchmark: Benchmark) -> Tally:
    """Compare a tracker's boxes with the true ones of one or two modalities, each (N, 4) x, y, w, h in pixels.

    Frames with NaN in a true box do not count.
    """
    counts, values = frames_that_count(truths), measure(boxes, truths, benchmark)
    passed = {curve.name: curve.count(values[curve.quantity][counts]) for curve in benchmark.curves}
    return Tally(int(counts.sum()), passed)


def frames_that_count(truths: tuple[np.ndarray, ...]) -> np.ndarray:
    """(N,) bool: those whose true boxes are all known."""
    return np.all([np.isfinite(truth).all(axis=1) for truth in truths], axis=0)


def measure(boxes: np.ndarray, truths: tuple[np.ndarray, ...], benchmark: Benchmark) -> dict[str, np.ndarray]:
    """(N,) values of each quantity of the benchmark's curves; arguments as those of `tally`.

    -1 in frames that do not count, and where the target is absent.
    """
    known = frames_that_count(truths)
    rules = benchmark.rules
    pairs = [as_counted(boxes, truth, rules) for truth in truths]
    # Whatever is absent is so by a number that is not positive, be it a coordinate: that is the toolkits' test.
    present = [known & np.all(truth > 0, axis=1) if rules.absent_counts else known for _, truth in pairs]
    measured = {}
    for quantity in {curve.quantity: None for curve in benchmark.curves}:
        metric, better = _QUANTITIES[quantity]
        values = [np.full(len(truth), -1, truth.dtype) for _, truth in pairs]
        for out, (counted, truth), here in zip(values, pairs, present, strict=True):
            out[here] = metric(counted[here], truth[here])
        measured[quantity] = values[0] if len(values) == 1 else better(*values)
    return measured


def curves(tallies: list[Tally], benchmark: Benchmark) -> dict[str, np.ndarray]:
    """By the name of the curve, its (T,) shares 0..1 over sequences, at least one."""
    frames = np.array([tally.frames for tally in tallies])
    shares = {}
    for curve in benchmark.curves:
        passed = np.array([tally.passed[curve.name] for tally in tallies])
        if benchmark.pooled:
            shares[curve.name] = passed.sum(axis=0) / frames.sum()
        else:
            shares[curve.name] = (passed / frames[:, None]).mean(axis=0)
    return shares


def scores(tallies: list[Tally], benchmark: Benchmark) -> dict[str, float]:
    """By the name of the curve, the score 0..1 of the sequences, at least one."""
    shares = curves(tallies, benchmark)
    return {curve.name: curve.number(shares[curve.name]) for curve in benchmark.curves}
