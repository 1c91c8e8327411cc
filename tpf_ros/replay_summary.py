"""One table over the reports of several bags: summary.json and summary.txt."""

import json
from dataclasses import dataclass
from pathlib import Path

RATES = ("success", "precision", "normalised_precision")
STATES = ("tracking", "coasting", "lost", "error")
HEADER = ["bag", "frames", "results", "dropped", "p50", "p95", "p99 ms", "SR", "PR", "NPR", "live SR", *STATES]


@dataclass(frozen=True)
class Outcome:
    """Of one bag: its report's folder and summary, or why there is none."""

    bag: Path
    out: Path
    summary: dict | None
    error: str | None = None


def write_summary(out: Path, outcomes: list[Outcome], offline: bool) -> str:
    """Write both files into `out` and return the text. Means are over the bags that have scores, each counted once."""
    bags = [_entry(outcome) for outcome in outcomes]
    scored = [entry["iou"] for entry in bags if entry.get("iou", {}).get("frames")]
    live = [entry["iou_live"] for entry in bags if entry.get("iou_live", {}).get("frames")]
    mean = {name: _mean([iou[name] for iou in scored]) for name in RATES}
    mean["live_success"] = _mean([iou["success"] for iou in live])
    failed = [entry for entry in bags if "error" in entry]
    summary = {
        "mode": "offline" if offline else "live",
        "failed": len(failed),
        "mean": {"bags": len(scored), **mean},
        "bags": bags,
    }
    (out / "summary.json").write_text(json.dumps(summary, indent=2) + "\n")
    rows = [HEADER, *(_row(entry) for entry in bags if "error" not in entry)]
    if scored:
        means = ["-" if value is None else f"{value:.3f}" for value in mean.values()]
        rows.append([f"mean of {len(scored)}", *[""] * 6, *means, *[""] * len(STATES)])
    widths = [max(map(len, column)) for column in zip(*rows)]
    lines = [
        "  ".join([row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:]))]).rstrip()
        for row in rows
    ]
    lines += [f"failed: {entry['bag']}: {entry['error']}" for entry in failed]
    text = "\n".join(lines)
    (out / "summary.txt").write_text(text + "\n")
    return text


def _mean(values: list[float]) -> float | None:
    return round(sum(values) / len(values), 4) if values else None


def _entry(outcome: Outcome) -> dict:
    entry = {"bag": str(outcome.bag), "folder": outcome.out.name}
    if outcome.summary is None:
        return {**entry, "error": outcome.error}
    summary = outcome.summary
    frames = summary["frames"]
    return {
        **entry,
        "frames": frames["sent"],
        "results": frames["results"],
        "dropped": frames.get("dropped"),  # unknown where no diagnostics came
        "latency_ms": {name: summary["latency_ms"].get(name) for name in ("p50", "p95", "p99", "max")},
        "states": {state: frames[state] for state in STATES},
        **{name: summary[name] for name in ("iou", "iou_live") if name in summary},
    }


def _row(entry: dict) -> list[str]:
    latency, iou, live = entry["latency_ms"], entry.get("iou", {}), entry.get("iou_live", {})
    return [
        entry["folder"],
        *("-" if entry[name] is None else str(entry[name]) for name in ("frames", "results", "dropped")),
        *("-" if latency[name] is None else f"{latency[name]:.0f}" for name in ("p50", "p95", "p99")),
        *(f"{iou[name]:.3f}" if name in iou else "-" for name in RATES),
        f"{live['success']:.3f}" if "success" in live else "-",
        *(str(entry["states"][state]) for state in STATES),
    ]
