"""The report of a replay: summary.json and summary.txt, boxes.csv, timeline.png. Needs no ROS.

How each number is counted is in `DEFINITIONS`, which the summary carries with it.
"""

import json
import math
import textwrap
from collections import Counter, deque
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from tpf_model.boxes import Box, iou
from tpf_ros.boxes_csv import BoxesWriter, BoxRow
from tpf_ros.recording import Published, Recording, Sent
from tpf_ros.timeline import draw_timeline

DEFINITIONS = {
    "frames.sent": "visible images that the player published, each stamped with the moment at which it was due",
    "frames.visible_received .. failed": "counted by the node: images received, pairs made of them, pairs processed, "
    "pairs dropped because a newer one came before their turn, pairs at which the tracker failed",
    "frames.results": "results with a target, each for another pair of images; tracking .. error: those in each state",
    "latency_ms": "from the stamp of the visible image to the publication of its result, as the node measured it: "
    "transport of the images, decoding, pairing, waiting and the network",
    "latency_ms.*_window.in_intervals": "latency over the time since the result before, median: a slow computer makes "
    "both longer, results that queue up make this number grow",
    "received_ms": "from the stamp of the visible image to the receipt of its result in another process",
    "iou": "each result against the true box of its own frame, where the target is visible; the initial frame and "
    "frames that the node dropped are left out",
    "iou_live": "each visible image after the initial one against the newest result received when it was published: "
    "what an operator saw, with the latency and the dropped frames",
    "success": "share of frames with IoU above a threshold, mean over the 21 thresholds 0, 0.05 .. 1",
}
# The node's own counts, from its diagnostics, by their names in the summary.
COUNTERS = {
    "visible_received": "visible received",
    "thermal_received": "thermal received",
    "paired": "pairs",
    "processed": "processed",
    "dropped": "dropped",
    "failed": "failed",
}
STATES = ("tracking", "coasting", "lost", "error")
FACTS = ("model", "device", "runtime", "scan", "precision", "weights")


@dataclass(frozen=True)
class Scored:
    """A result at a frame. `iou` is None where there is no true box, and at the initial frame, whose box was given."""

    published: Published
    sent: Sent
    iou: float | None


def write_report(recording: Recording, truth: dict[int, Box]) -> str:
    """Write the report into the plan's output folder and return summary.txt's text. `truth`: true boxes by frame."""
    out = recording.plan.out
    scored = score(recording, truth)
    summary = summarise(recording, scored, truth)
    with BoxesWriter(out / "boxes.csv") as writer:
        for item in scored:
            result = item.published
            writer.write(BoxRow(item.sent.frame, result.stamp, result.box, result.score, result.state))
    (out / "summary.json").write_text(json.dumps(summary, indent=2) + "\n")
    text = summary_text(summary)
    (out / "summary.txt").write_text(text + "\n")
    draw_timeline(out / "timeline.png", scored, title=f"{recording.plan.bag}: what the node published")
    return text


def score(recording: Recording, truth: dict[int, Box]) -> list[Scored]:
    """The results with a target, in order of receipt, each with the frame its stamp belongs to and its IoU."""
    frames = {sent.stamp: sent for sent in recording.visible}
    scored = []
    for result in recording.published:
        if result.id == 0:
            continue
        sent = frames.get(result.stamp) or min(recording.visible, key=lambda item: abs(item.stamp - result.stamp))
        true = truth.get(sent.frame) if sent.frame != recording.plan.init_frame else None
        scored.append(Scored(result, sent, None if true is None else overlap(result.box, true)))
    return scored


def newest_results(recording: Recording) -> Iterator[tuple[Sent, Published | None]]:
    """Each visible image with the newest result with a target that had been received when it was published."""
    waiting = deque(recording.published)
    newest = None
    for sent in recording.visible:
        while waiting and waiting[0].received <= sent.published:
            result = waiting.popleft()
            newest = result if result.id else None
        yield sent, newest


def summarise(recording: Recording, scored: list[Scored], truth: dict[int, Box]) -> dict:
    """The summary, ready for JSON."""
    plan, states = recording.plan, Counter(item.published.state for item in scored)
    results = [item.published for item in scored]
    timed = [result for result in results if math.isfinite(result.latency)]  # NaN before simulated time begins
    summary = {
        "bag": str(plan.bag),
        "rate": plan.rate,
        "seconds": round((recording.visible[-1].stamp - recording.visible[0].stamp) / 1e9, 2),
        "node": {
            "seconds_to_active": round(recording.startup, 2),
            "peak_memory_mb": round(recording.peak_memory / 1e6),
            "parameters": plan.parameters,
            **{fact: recording.diagnostics[fact] for fact in FACTS if fact in recording.diagnostics},
        },
        "frames": {
            "sent": len(recording.visible),
            "thermal_sent": len(recording.thermal),
            **{name: int(recording.diagnostics[key]) for name, key in COUNTERS.items() if key in recording.diagnostics},
            "results": len(scored),
            **{state: states[state] for state in STATES},
            "fused_images": recording.fused_images,
            "initialisations": len({result.id for result in results}),
            "refused": recording.refused,
        },
        "player_late_ms": _percentiles([sent.late / 1e6 for sent in recording.visible]),
        "latency_ms": {
            **_percentiles([1e3 * result.latency for result in timed]),
            **_trend(timed),
        },
        "received_ms": _percentiles([(result.received - result.stamp) / 1e6 for result in results]),
        "sync_error_ms": _percentiles(
            [1e3 * abs(result.sync_error) for result in results if np.isfinite(result.sync_error)]
        ),
    }
    if truth:
        summary["iou"] = _statistics([item.iou for item in scored if item.iou is not None])
        summary["iou_live"] = _statistics(_live(recording, truth))
    summary["diagnostics"] = recording.diagnostics
    summary["definitions"] = DEFINITIONS
    return summary


def overlap(box: Box, true: Box) -> float:
    """IoU; 0 where the estimated box is NaN."""
    return iou(box, true) if all(map(math.isfinite, box)) else 0.0


def _live(recording: Recording, truth: dict[int, Box]) -> list[float]:
    return [
        overlap(newest.box, truth[sent.frame]) if newest else 0.0
        for sent, newest in newest_results(recording)
        if sent.frame > recording.plan.init_frame and sent.frame in truth
    ]


def _statistics(values: list[float]) -> dict:
    """Means over frames; without any frame only the count."""
    if not values:
        return {"frames": 0}
    overlaps = np.array(values)
    thresholds = np.linspace(0, 1, 21)
    return {
        "frames": len(values),
        "mean": round(float(overlaps.mean()), 4),
        "median": round(float(np.median(overlaps)), 4),
        "success": round(float((overlaps[:, None] > thresholds).mean()), 4),
        "above_0.3": round(float((overlaps > 0.3).mean()), 4),
        "above_0.5": round(float((overlaps > 0.5).mean()), 4),
    }


def _percentiles(values: list[float]) -> dict[str, float]:
    if not values:
        return {}
    p50, p95, p99 = np.percentile(values, (50, 95, 99))
    return {
        "p50": round(float(p50), 2),
        "p95": round(float(p95), 2),
        "p99": round(float(p99), 2),
        "max": round(max(values), 2),
    }


def _trend(results: list[Published]) -> dict:
    """Medians over the first and over the last minute (third, of a replay shorter than three minutes)."""
    if len(results) < 2:
        return {}
    window = min(60 * 10**9, (results[-1].received - results[0].received) // 3)
    pairs = list(zip(results, results[1:]))
    first = [pair for pair in pairs if pair[1].received <= results[0].received + window]
    last = [pair for pair in pairs if pair[0].received >= results[-1].received - window]
    return {"window_s": round(window / 1e9, 1), "first_window": _age(first), "last_window": _age(last)}


def _age(pairs: list[tuple[Published, Published]]) -> dict[str, float]:
    """Medians of each second result's latency in ms, and of that over the time since the first."""
    if not pairs:
        return {}
    latencies = [1e3 * result.latency for _, result in pairs]
    intervals = [max(1e-3, (result.received - before.received) / 1e6) for before, result in pairs]
    ratios = np.divide(latencies, intervals)
    return {"p50": round(float(np.median(latencies)), 2), "in_intervals": round(float(np.median(ratios)), 2)}


def summary_text(summary: dict) -> str:
    """The summary as a page of text."""
    node, frames, latency = summary["node"], summary["frames"], summary["latency_ms"]
    lines = [
        f"bag           {summary['bag']}, {summary['seconds']:g} s at rate {summary['rate']:g}",
        _row("model", [f"{fact} {node[fact]}" for fact in FACTS[:-1] if fact in node]),
        f"node          ACTIVE after {node['seconds_to_active']:g} s, peak memory {node['peak_memory_mb']} MB",
        f"sent          {frames['sent']} visible, {frames['thermal_sent']} thermal images",
        _row("received", [f"{name.replace('_received', '')} {frames[name]}" for name in COUNTERS if name in frames]),
        _row("results", [str(frames["results"]), *(f"{state} {frames[state]}" for state in STATES)]),
        f"targets       {frames['initialisations']} initialised, {frames['refused']} refused",
        f"fused images  {frames['fused_images']}",
        _percentile_row("latency", latency, "from stamp to publication"),
    ]
    if latency.get("first_window") and latency.get("last_window"):
        for name in ("first", "last"):
            age = latency[f"{name}_window"]
            lines.append(
                f"              {name} {latency['window_s']:g} s: p50 {age['p50']:.0f} ms, "
                f"{age['in_intervals']:.1f} times the time between two results"
            )
    lines.append(_percentile_row("receipt", summary["received_ms"], "from stamp to receipt in another process"))
    lines.append(_percentile_row("player", summary["player_late_ms"], "behind its schedule"))
    if "iou" in summary:
        lines.append(_overlap_row("IoU", summary["iou"], "each result against its own frame"))
        lines.append(_overlap_row("live IoU", summary["iou_live"], "as an operator saw it, latency included"))
    lines += ["", "How the numbers are counted:"]
    for name, meaning in summary["definitions"].items():
        lines += textwrap.wrap(f"{name}: {meaning}", 100, initial_indent="  ", subsequent_indent="    ")
    return "\n".join(lines)


def _row(name: str, values: list[str]) -> str:
    return f"{name:<13} {', '.join(values) or 'unknown'}"


def _percentile_row(name: str, values: dict, meaning: str) -> str:
    if not values:
        return _row(name, ["none"])
    return (
        f"{name:<13} p50 {values['p50']:.1f} ms, p95 {values['p95']:.1f} ms, p99 {values['p99']:.1f} ms, "
        f"max {values['max']:.1f} ms ({meaning})"
    )


def _overlap_row(name: str, values: dict, meaning: str) -> str:
    if not values["frames"]:
        return _row(name, ["no frame with a true box"])
    return (
        f"{name:<13} mean {values['mean']:.3f}, median {values['median']:.3f}, success {values['success']:.3f}, "
        f"> 0.3: {values['above_0.3']:.0%}, > 0.5: {values['above_0.5']:.0%} of {values['frames']} frames ({meaning})"
    )
