"""The scores of trackers on a benchmark, side by side: numbers to keep, and tables to read."""

import csv
import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tpf_training.evaluation.benchmarks import Benchmark
from tpf_training.evaluation.table import Layout
from tpf_training.evaluation.tally import Tally, curves, scores


@dataclass(frozen=True)
class TrackerTallies:
    """A tracker's tallies by sequence, and for the sequences that could not be scored, why."""

    name: str
    tallies: dict[str, Tally]
    failed: dict[str, str]


def make_report(
    benchmark: Benchmark, chosen: str, trackers: list[TrackerTallies], attributes: dict[str, list[str]]
) -> dict:
    """All numbers, JSON-able; shares 0..1.

    trackers: by name, best in the last score first: `scores`, `curves`, `attributes` and `sequences` with their scores,
    and `failed` with the reason by sequence. Scores are of the sequences that did not fail; None where all did.
    """
    entries = {tracker.name: _tracker(tracker, benchmark, attributes) for tracker in trackers}
    last = benchmark.curves[-1].name
    ranked = sorted(entries, key=lambda name: -(entries[name]["scores"] or {last: -1.0})[last])
    return {
        "benchmark": benchmark.name,
        "toolkit": benchmark.toolkit,
        "rules": dataclasses.asdict(benchmark.rules),
        "pooled": benchmark.pooled,
        "chosen_by": chosen,
        "sequences": len(trackers[0].tallies) + len(trackers[0].failed),
        "thresholds": {curve.name: curve.thresholds for curve in benchmark.curves},
        "trackers": {name: entries[name] for name in ranked},
    }


def _tracker(tracker: TrackerTallies, benchmark: Benchmark, attributes: dict[str, list[str]]) -> dict:
    groups = {
        attribute: [tracker.tallies[name] for name in names if name in tracker.tallies]
        for attribute, names in attributes.items()
    }
    everything = list(tracker.tallies.values())
    return {
        "scores": scores(everything, benchmark) if everything else None,
        "curves": {n: c.tolist() for n, c in curves(everything, benchmark).items()} if everything else None,
        "attributes": {
            name: {"sequences": len(group), **scores(group, benchmark)} for name, group in groups.items() if group
        },
        "sequences": {
            name: {"frames": tally.frames, **scores([tally], benchmark)} for name, tally in tracker.tallies.items()
        },
        "failed": tracker.failed,
    }


def as_document(report: dict, layout: Layout) -> str:
    """Scores, best last score first, then each score by attribute, then what could not be scored."""
    trackers, names = report["trackers"], list(report["thresholds"])
    rows = [
        [name, f"{len(tracker['sequences'])}/{report['sequences']}"]
        + [percent((tracker["scores"] or {}).get(score)) for score in names]
        for name, tracker in trackers.items()
    ]
    parts = [conditions(report), layout(["tracker", "sequences", *names], rows)]
    attributes = {attribute: None for tracker in trackers.values() for attribute in tracker["attributes"]}
    for score in names if attributes else ():
        groups = [tracker["attributes"] for tracker in trackers.values()]
        rows = [[name, *(percent(group.get(name, {}).get(score)) for group in groups)] for name in attributes]
        parts.append(layout([f"{score} by attribute", *trackers], rows))
    failed = [f"- {name}: {reason}" for name, tracker in trackers.items() for reason in tracker["failed"].values()]
    if failed:
        parts.append("\n".join([f"Not scored, and in none of the numbers ({len(failed)}):", *failed]))
    return "\n\n".join(parts)


def write_csv(report: dict, file: Path) -> None:
    """A line a tracker and `all`, attribute or sequence: `tracker,kind,name,sequences,<score>..`, shares 0..1."""
    with open(file, "w", newline="") as output:
        writer = csv.writer(output)
        writer.writerow(["tracker", "kind", "name", "sequences", *report["thresholds"]])
        writer.writerows(_rows(report))


def _rows(report: dict) -> Iterator[list]:
    for name, tracker in report["trackers"].items():
        groups = [("all", "", len(tracker["sequences"]), tracker["scores"] or {})]
        groups += [("attribute", key, group["sequences"], group) for key, group in tracker["attributes"].items()]
        groups += [("sequence", key, 1, group) for key, group in tracker["sequences"].items()]
        for kind, key, count, numbers in groups:
            yield [name, kind, key, count, *(repr(numbers[s]) if s in numbers else "" for s in report["thresholds"])]


def conditions(report: dict) -> str:
    """What the numbers are of, in a sentence."""
    over = "shares of all frames" if report["pooled"] else "means over sequences"
    what = f"{report['benchmark']}, sequences: {report['sequences']} ({report['chosen_by']})"
    return f"{what}, in %, {over}, by the rules of the toolkit {report['toolkit']!r}."


def percent(share: float | None) -> str:
    """As the tables show it."""
    return "-" if share is None else f"{100 * share:.2f}"
