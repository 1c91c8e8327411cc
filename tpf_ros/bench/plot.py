"""Pictures of the rows: how far each is from its target, and the times that were measured side by side."""

import textwrap
from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt  # noqa: E402 - the backend has to be chosen first

from tpf_ros.bench.report import number  # noqa: E402

_MET, _MISSED, _NONE = "tab:green", "tab:red", "0.6"
TARGETS, TIMES = "performance_targets.png", "performance_times.png"


def draw(folder: Path, rows: list[dict]) -> list[Path]:
    """Write both pictures into `folder`; the second one only where times were measured side by side."""
    written = [_draw_targets(folder / TARGETS, rows)]
    groups: dict[tuple, list[str]] = {}  # the names of the rows that were measured together, by their times
    for row in rows:
        if times := _times(row):
            groups.setdefault(tuple(times.items()), []).append(row["name"])
    if groups:
        written.append(_draw_times(folder / TIMES, groups))
    return written


def _draw_targets(path: Path, rows: list[dict]) -> Path:
    figure, axes = plt.subplots(figsize=(10, 1.2 + 0.33 * len(rows)), layout="constrained")
    for index, row in enumerate(rows):
        if row["value"] is None:
            axes.text(1.05, index, "not measured", color=_NONE, va="center", fontsize=8)
            continue
        margin = _margin(row, row["value"])
        low, high = sorted(_margin(row, row.get(key, row["value"])) for key in ("low", "high"))
        axes.barh(index, margin - 1, left=1, color=_MET if row["passed"] else _MISSED, height=0.6)
        axes.plot((low, high), (index, index), color="black", linewidth=1)
        axes.annotate(
            f"{number(row['value'])} {row['unit']}",
            (max(margin, high, 1), index),
            (4, 0),
            textcoords="offset points",
            va="center",
            fontsize=8,
        )
    axes.axvline(1, color="black", linewidth=1)
    axes.set_xscale("log")
    axes.set_xlim(right=axes.get_xlim()[1] * 4)
    axes.set_yticks(range(len(rows)), [f"{row['name']}  {row['bound']} {row['target']:g}" for row in rows], fontsize=8)
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.set_xlabel("times better than the target (median, quartiles)")
    figure.savefig(path, dpi=110)
    plt.close(figure)
    return path


def _margin(row: dict, value: float) -> float:
    """How many times better than the target. Of zero or less, where that is good, there is no ratio: 100 at most."""
    ratio = value / row["target"] if row["bound"] == ">=" else row["target"] / max(value, 0.01 * row["target"])
    return max(ratio, 1e-4)


def _draw_times(path: Path, groups: dict[tuple, list[str]]) -> Path:
    heights = [len(times) + 1.5 for times in groups]
    figure, panels = plt.subplots(
        len(groups), figsize=(10, 0.4 * sum(heights)), height_ratios=heights, squeeze=False, layout="constrained"
    )
    for axes, (times, rows) in zip(panels[:, 0], groups.items()):
        names, values = zip(*times)
        bars = axes.barh(range(len(names)), values, color="tab:blue", height=0.6)
        axes.bar_label(bars, [f"{number(value)} ms" for value in values], padding=3, fontsize=8)
        axes.set_yticks(range(len(names)), [textwrap.shorten(name, 60) for name in names], fontsize=8)
        axes.set_xlim(0, 1.15 * max(values))
        axes.set_title(textwrap.shorten(", ".join(rows), 120), fontsize=9, loc="left")
        axes.invert_yaxis()
    panels[-1, 0].set_xlabel("ms, medians of measurements in turns")
    figure.savefig(path, dpi=110)
    plt.close(figure)
    return path


def _times(row: dict) -> dict[str, float]:
    parts = row.get("parts") or {}
    return {name.removesuffix(" (ms)"): value for name, value in parts.items() if name.endswith(" (ms)")}
