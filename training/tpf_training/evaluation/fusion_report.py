"""The measures of several fusions on pairs of images, side by side: numbers to keep, and tables to read."""

import csv
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from tpf_training.evaluation.fusion_metrics import DEFINITIONS, MEASURES
from tpf_training.evaluation.pair_folder import set_of
from tpf_training.evaluation.table import Layout


@dataclass
class Measured:
    """One fusion's measures by the name of the pair, and for the pairs that have none, why."""

    name: str
    pairs: dict[str, dict[str, float]] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)


def make_report(fusions: list[Measured], failed: dict[str, str], total: int) -> dict:
    """All numbers, JSON-able; None for a PSNR without an error, and where no pair is left.

    failed: the pairs that could not be read at all. `pairs`: how many there are, those included. `fusions`: by name,
    `all` and by set `sets` with the number of `pairs`, `mean` and `std` (of the sample) over them, `pairs`, `failed`.
    """
    return {
        "pairs": total,
        "failed": failed,
        "fusions": {
            fusion.name: {
                "all": _summary(fusion.pairs),
                "sets": {
                    group: _summary({name: values for name, values in fusion.pairs.items() if set_of(name) == group})
                    for group in sorted({set_of(name) for name in fusion.pairs})
                    if group
                },
                "pairs": {name: _finite(values) for name, values in fusion.pairs.items()},
                "failed": fusion.failed,
            }
            for fusion in fusions
        },
    }


def as_document(report: dict, layout: Layout) -> str:
    """The means over all pairs, then over each set's where there are several, then what could not be measured."""
    fusions = report["fusions"]
    parts = [f"Fusion measures, mean ± standard deviation over {report['pairs']} pairs."]
    parts.append(_table("all pairs", {name: fusion["all"] for name, fusion in fusions.items()}, layout))
    groups = sorted({group for fusion in fusions.values() for group in fusion["sets"]})
    for group in groups if len(groups) > 1 else ():
        parts.append(_table(group, {name: fusion["sets"].get(group) for name, fusion in fusions.items()}, layout))
    failed = [f"- {name}: {reason}" for name, reason in report["failed"].items()]
    failed += [f"- {name}: {reason}" for name, fusion in fusions.items() for reason in fusion["failed"].values()]
    if failed:
        parts.append("\n".join([f"Not measured, and in none of the numbers ({len(failed)}):", *failed]))
    return "\n\n".join([*parts, DEFINITIONS])


def write_csv(report: dict, file: Path) -> None:
    """A line a fusion and all, set or pair: `fusion,kind,name,pairs,<measure>..,<measure>_std..`."""
    with open(file, "w", newline="") as output:
        writer = csv.writer(output)
        writer.writerow(["fusion", "kind", "name", "pairs", *MEASURES, *(f"{name}_std" for name in MEASURES)])
        writer.writerows(_rows(report))


def _summary(pairs: dict[str, dict[str, float]]) -> dict:
    columns = {name: np.array([values[name] for values in pairs.values()]) for name in MEASURES} if pairs else {}
    with np.errstate(invalid="ignore"):  # the spread of an infinite PSNR
        spread = {name: float(values.std(ddof=1)) for name, values in columns.items()} if len(pairs) > 1 else {}
    means = {name: float(values.mean()) for name, values in columns.items()}
    return {"pairs": len(pairs), "mean": _finite(means), "std": _finite(spread)}


def _finite(values: dict[str, float]) -> dict[str, float | None]:
    return {name: value if math.isfinite(value) else None for name, value in values.items()}


def _table(heading: str, summaries: dict[str, dict | None], layout: Layout) -> str:
    measured = {name: summary for name, summary in summaries.items() if summary}
    rows = [[name, str(summary["pairs"]), *map(_cell(summary), MEASURES)] for name, summary in measured.items()]
    return layout([heading, "pairs", *MEASURES], rows)


def _cell(summary: dict) -> Callable[[str], str]:
    def cell(measure: str) -> str:
        mean, std = summary["mean"].get(measure), summary["std"].get(measure)
        digits = 3 if measure == "SSIM" else 1 if measure == "MSE" else 2
        return "-" if mean is None else f"{mean:.{digits}f}" + ("" if std is None else f" ± {std:.{digits}f}")

    return cell


def _rows(report: dict) -> Iterator[list]:
    for name, fusion in report["fusions"].items():
        groups = [("all", "", fusion["all"]), *(("set", key, summary) for key, summary in fusion["sets"].items())]
        groups += [("pair", key, {"pairs": 1, "mean": values, "std": {}}) for key, values in fusion["pairs"].items()]
        for kind, key, summary in groups:
            numbers = [summary[part].get(measure) for part in ("mean", "std") for measure in MEASURES]
            yield [name, kind, key, summary["pairs"], *("" if value is None else repr(value) for value in numbers)]
