"""timeline.png: IoU and confidence over time with the node's states behind them, latency below."""

from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt  # noqa: E402 - the backend has to be chosen first
import numpy as np  # noqa: E402

from tpf_ros.drawing import STATE_COLOURS  # noqa: E402


def draw_timeline(path: Path, scored: list, title: str, latency_label: str) -> None:
    """Draw `scored` (see `report.Scored`), in order of receipt, to a PNG; `latency_label` says what latency is."""
    figure, (above, below) = plt.subplots(2, sharex=True, figsize=(12, 6), height_ratios=(2, 1), layout="constrained")
    figure.suptitle(title)
    if scored:
        begin = scored[0].published.stamp
        seconds = np.array([(item.published.stamp - begin) / 1e9 for item in scored])
        _draw_states(above, seconds, [item.published.state for item in scored])
        _draw_scores(above, seconds, scored)
        latency = np.array([1e3 * item.published.latency for item in scored])
        below.plot(seconds, latency, ".", markersize=3, color="tab:purple")
        known = latency[np.isfinite(latency)]  # NaN before simulated time begins
        if known.size:
            median = np.median(known)
            below.axhline(median, color="tab:purple", linewidth=1, label=f"median {median:.0f} ms")
            below.legend(loc="upper left", bbox_to_anchor=(1, 1))
            below.set_ylim(0, 1.1 * known.max())
    above.set(ylabel="IoU, confidence", ylim=(0, 1.02))
    below.set(ylabel=latency_label, xlabel="s since the initial frame")
    figure.savefig(path, dpi=100)
    plt.close(figure)


def _draw_scores(axes, seconds: np.ndarray, scored: list) -> None:
    confidence = [item.published.score for item in scored]
    axes.plot(seconds, confidence, color="0.35", linewidth=1, label="confidence")
    known = np.array([item.iou is not None for item in scored])
    if known.any():
        overlaps = np.array([item.iou for item in scored if item.iou is not None])
        axes.plot(
            seconds[known],
            overlaps,
            ".-",
            markersize=4,
            linewidth=1,
            color="tab:blue",
            label=f"IoU, mean {overlaps.mean():.2f}",
        )
    axes.legend(loc="upper left", bbox_to_anchor=(1, 1))


def _draw_states(axes, seconds: np.ndarray, states: list[str]) -> None:
    """A band behind the curves for each run of results with the same state."""
    labelled = set()
    start = 0
    for index in range(1, len(states) + 1):
        if index < len(states) and states[index] == states[start]:
            continue
        state = states[start]
        end = seconds[min(index, len(seconds) - 1)]
        colour = tuple(value / 255 for value in STATE_COLOURS[state])
        axes.axvspan(
            seconds[start], end, color=colour, alpha=0.18, linewidth=0, label=None if state in labelled else state
        )
        labelled.add(state)
        start = index
