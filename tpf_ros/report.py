"""The report of a replay: summary.json and summary.txt, timeline.png, and of a live one boxes.csv. Needs no ROS.

How each number is counted is in `DEFINITIONS`, which the summary carries with it.
"""

import json
import math
import textwrap
from collections import Counter, deque
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from tpf_model.boxes import Box
from tpf_ros.boxes_csv import BoxesWriter, BoxRow
from tpf_ros.recording import Published, Recording, Sent
from tpf_ros.scores import MISS, Fit, fit, statistics
from tpf_ros.timeline import draw_timeline

DEFINITIONS = {
    "frames.sent": "visible images that the player published; an image's stamp is the moment at which it was due",
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
    "success": "SR, the share of frames with IoU above a threshold, mean over the 21 thresholds 0, 0.05 .. 1",
    "precision": "PR, the share of frames whose centre is within 20 px of the true one",
    "normalised_precision": "NPR, the same within 0.2 of the true box's width and height",
}
OFFLINE_DEFINITIONS = {
    "frames.sent": "visible images in the bag",
    "frames.processed": "pairs, and lone images of a camera while the other is silent, from the initial frame on; none "
    "is dropped",
    "frames.results": "results with a target; tracking .. error: those in each state",
    "latency_ms": "what one pair took: reading, decoding, pairing and the network",
    **{name: DEFINITIONS[name] for name in ("success", "precision", "normalised_precision")},
    "iou": "each result against the true box of its own frame, where the target is visible; the initial frame is left "
    "out",
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
    """A result at a frame. `fit` is None where there is no true box, and at the initial frame, whose box was given."""

    published: Published
    sent: Sent
    fit: Fit | None

    @property
    def iou(self) -> float | None:
        return None if self.fit is None else self.fit.iou


def write_report(recording: Recording, truth: dict[int, Box]) -> str:
    """Write the report into the plan's output folder and return summary.txt's text. `truth`: true boxes by frame."""
    out = recording.plan.out
    scored = score(recording, truth)
    summary = summarise(recording, scored, truth)
    if not recording.plan.offline:
        with BoxesWriter(out / "boxes.csv") as writer:
            for item in scored:
                result = item.published
                writer.write(BoxRow(item.sent.frame, result.stamp, result.box, result.score, result.state))
    (out / "summary.json").write_text(json.dumps(summary, indent=2) + "\n")
    text = summary_text(summary)
    (out / "summary.txt").write_text(text + "\n")
    label = "time for a pair, ms" if recording.plan.offline else "stamp to publication, ms"
    what = "tracked offline" if recording.plan.offline else "what the node published"
    draw_timeline(out / "timeline.png", scored, f"{recording.plan.bag}: {what}", label)
    return text


def score(recording: Recording, truth: dict[int, Box]) -> list[Scored]:
    """The results with a target, in order of receipt, each with the frame its stamp belongs to and its IoU."""
    frames, plan = {sent.stamp: sent for sent in recording.visible}, recording.plan
    scored = []
    for result in recording.published:
        if result.id == 0:
            continue
        if result.frame is None:
            sent = frames.get(result.stamp) or min(recording.visible, key=lambda item: abs(item.stamp - result.stamp))
            true = truth.get(sent.frame)
        else:
            sent = recording.visible[result.frame - plan.first_frame]
            true = truth.get(sent.frame) if sent.stamp == result.stamp else None  # else a thermal image used alone
        known = true is not None and sent.frame != plan.init_frame
        scored.append(Scored(result, sent, fit(result.box, true) if known else None))
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
    plan, results = recording.plan, [item.published for item in scored]
    timed = [result for result in results if math.isfinite(result.latency)]  # NaN before simulated time begins
    summary = {
        "bag": str(plan.bag),
        "mode": "offline" if plan.offline else "live",
        "rate": plan.rate,
        "seconds": round((recording.visible[-1].stamp - recording.visible[0].stamp) / 1e9, 2),
        "node": {
            "seconds_to_active": round(recording.startup, 2),
            "peak_memory_mb": round(recording.peak_memory / 1e6),
            "parameters": plan.parameters,
            **{fact: recording.diagnostics[fact] for fact in FACTS if fact in recording.diagnostics},
        },
        "frames": _counts(recording, scored),
        "latency_ms": _percentiles([1e3 * result.latency for result in timed]),
    }
    if truth:
        summary["iou"] = statistics([item.fit for item in scored if item.fit is not None])
    if plan.offline:
        return {**summary, "definitions": OFFLINE_DEFINITIONS}
    summary["latency_ms"] |= _trend(timed)
    summary["received_ms"] = _percentiles([(result.received - result.stamp) / 1e6 for result in results])
    summary["player_late_ms"] = _percentiles([sent.late / 1e6 for sent in recording.visible])
    differences = [1e3 * abs(result.sync_error) for result in results if np.isfinite(result.sync_error)]
    summary["sync_error_ms"] = _percentiles(differences)
    if truth:
        summary["iou_live"] = statistics(_live(recording, truth))
    return {**summary, "diagnostics": recording.diagnostics, "definitions": DEFINITIONS}


def _counts(recording: Recording, scored: list[Scored]) -> dict[str, int]:
    diagnostics, states = recording.diagnostics, Counter(item.published.state for item in scored)
    counted = {name: int(diagnostics[key]) for name, key in COUNTERS.items() if key in diagnostics}
    return {
        "sent": len(recording.visible),
        "thermal_sent": len(recording.thermal),
        **counted,
        "results": len(scored),
        **{state: states[state] for state in STATES},
        "fused_images": recording.fused_images,
        "initialisations": len({item.published.id for item in scored}),
        "refused": recording.refused,
    }


def _live(recording: Recording, truth: dict[int, Box]) -> list[Fit]:
    return [
        fit(newest.box, truth[sent.frame]) if newest else MISS
        for sent, newest in newest_results(recording)
        if sent.frame > recording.plan.init_frame and sent.frame in truth
    ]


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
    lines = _offline_lines(summary) if summary["mode"] == "offline" else _live_lines(summary)
    if "iou" in summary:
        lines += _overlap_rows("IoU", summary["iou"], "each result against its own frame")
    if "iou_live" in summary:
        lines += _overlap_rows("live IoU", summary["iou_live"], "as an operator saw it, latency included")
    lines += ["", "How the numbers are counted:"]
    for name, meaning in summary["definitions"].items():
        lines += textwrap.wrap(f"{name}: {meaning}", 100, initial_indent="  ", subsequent_indent="    ")
    return "\n".join(lines)


def _live_lines(summary: dict) -> list[str]:
    node, frames, latency = summary["node"], summary["frames"], summary["latency_ms"]
    lines = [
        f"bag           {summary['bag']}, {summary['seconds']:g} s at rate {summary['rate']:g}",
        _model_row(node),
        f"node          ACTIVE after {node['seconds_to_active']:g} s, peak memory {node['peak_memory_mb']} MB",
        f"sent          {frames['sent']} visible, {frames['thermal_sent']} thermal images",
        _row("received", [f"{name.replace('_received', '')} {frames[name]}" for name in COUNTERS if name in frames]),
        _results_row(frames),
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
    return lines


def _offline_lines(summary: dict) -> list[str]:
    node, frames = summary["node"], summary["frames"]
    return [
        f"bag           {summary['bag']}, {summary['seconds']:g} s, offline: every pair, no DDS",
        _model_row(node),
        f"ready         after {node['seconds_to_active']:g} s, peak memory {node['peak_memory_mb']} MB",
        f"images        {frames['sent']} visible, {frames['thermal_sent']} thermal",
        _results_row(frames),
        _percentile_row("a pair took", summary["latency_ms"], "reading, decoding, pairing, network"),
    ]


def _model_row(node: dict) -> str:
    return _row("model", [f"{fact} {node[fact]}" for fact in FACTS[:-1] if fact in node])


def _results_row(frames: dict) -> str:
    return _row("results", [str(frames["results"]), *(f"{state} {frames[state]}" for state in STATES)])


def _row(name: str, values: list[str]) -> str:
    return f"{name:<13} {', '.join(values) or 'unknown'}"


def _percentile_row(name: str, values: dict, meaning: str) -> str:
    if not values:
        return _row(name, ["none"])
    return (
        f"{name:<13} p50 {values['p50']:.1f} ms, p95 {values['p95']:.1f} ms, p99 {values['p99']:.1f} ms, "
        f"max {values['max']:.1f} ms ({meaning})"
    )


def _overlap_rows(name: str, values: dict, meaning: str) -> list[str]:
    if not values["frames"]:
        return [_row(name, ["no frame with a true box"])]
    return [
        f"{name:<13} mean {values['mean']:.3f}, median {values['median']:.3f}, > 0.3: {values['above_0.3']:.0%}, "
        f"> 0.5: {values['above_0.5']:.0%} of {values['frames']} frames ({meaning})",
        f"{'':<13} SR {values['success']:.3f}, PR {values['precision']:.3f}, NPR {values['normalised_precision']:.3f}",
    ]
