"""A sequence through time: each frame's IoU, and where the target was lost."""

import numpy as np
from matplotlib.figure import Figure

from tpf_training.evaluation.metrics.robustness import KEPT
from tpf_training.evaluation.plot_style import Line, add_legend, figure_with_legend
from tpf_training.evaluation.report_sequence import Course


def draw_overlap(sequence: str, course: Course, subject: str, looks: dict[str, Line]) -> Figure:
    """A gap in a line is where the target is absent."""
    means = {name: np.nanmean(overlaps) for name, overlaps in course.overlaps.items()}
    names = sorted(means, key=lambda name: (name != subject, -means[name]))
    figure, axes = figure_with_legend(len(names), height=2.3)
    for first, last in course.lost:
        axes.axvspan(course.frames[first] - 0.5, course.frames[last] + 0.5, color="#D55E00", alpha=0.18, linewidth=0)
    lines = {}
    for name in reversed(names):  # the subject on top
        (lines[name],) = axes.plot(course.frames, course.overlaps[name], **looks[name].drawn())
    axes.axhline(KEPT, color="grey", linewidth=0.8, zorder=0)
    if course.failure:
        frame = course.frames[course.failure[0]]
        axes.plot(frame, 1.03, marker="v", color="#D55E00", markersize=9, clip_on=False)
    axes.set(xlabel="frame", ylabel="IoU", xlim=(course.frames[0], course.frames[-1] or 1), ylim=(0, 1.03))
    axes.set_title(f"IoU of each frame of {sequence}", pad=14)
    add_legend(figure, [lines[name] for name in names], [f"{name}, mean IoU {means[name]:.2f}" for name in names])
    return figure
