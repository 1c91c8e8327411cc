"""The attribute radar: each tracker's score on the sequences of each attribute."""

import numpy as np
from matplotlib.figure import Figure

from tpf_training.evaluation.plot_curves import legend_labels, ranked
from tpf_training.evaluation.plot_style import Line, add_legend, figure_with_legend

LEAST_ATTRIBUTES = 3  # fewer make no area


def radar_attributes(report: dict) -> list[str]:
    """The attributes that every tracker with scores has sequences of."""
    groups = [tracker["attributes"] for tracker in report["trackers"].values() if tracker["scores"]]
    return [name for name in (groups[0] if groups else ()) if all(name in group for group in groups)]


def draw_radar(report: dict, score: str, looks: dict[str, Line]) -> Figure | None:
    """The figure of one score in %, an attribute a spoke; None for fewer than 3 attributes."""
    attributes, names = radar_attributes(report), ranked(report, score)
    if len(attributes) < LEAST_ATTRIBUTES:
        return None
    figure, axes = figure_with_legend(len(names), height=4.3, projection="polar")
    angles = np.linspace(0, 2 * np.pi, len(attributes), endpoint=False)
    values = {name: [100 * report["trackers"][name]["attributes"][a][score] for a in attributes] for name in names}
    handles = []
    for name in names:
        handles += axes.plot(np.append(angles, 0), [*values[name], values[name][0]], **looks[name].drawn())
    best = np.max(list(values.values()), axis=0)
    axes.set_theta_zero_location("N")
    axes.set_theta_direction(-1)
    axes.set_xticks(angles, [f"{a}\n{b:.1f}" for a, b in zip(attributes, best, strict=True)])
    axes.set_ylim(0, max(1.0, 1.05 * best.max()))
    axes.tick_params(axis="y", labelsize=7)
    axes.set_title(f"{score} by attribute, % (the best one's beside its name)", pad=16)
    add_legend(figure, handles, legend_labels(report, score))
    return figure
