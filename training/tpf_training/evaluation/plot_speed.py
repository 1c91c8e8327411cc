"""Speed against accuracy: frames a second, from the times beside results, and a score."""

from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter, ScalarFormatter

from tpf_training.evaluation.plot_curves import legend_labels, ranked
from tpf_training.evaluation.plot_style import Line, add_legend, figure_with_legend

LEAST_TRACKERS = 2  # trackers; there is nothing to see in one point


def draw_speed(report: dict, score: str, rates: dict[str, float], looks: dict[str, Line]) -> Figure | None:
    """The figure of the trackers of which `rates` holds the frames a second; None for fewer than 2."""
    labels = dict(zip(ranked(report, score), legend_labels(report, score), strict=True))
    names = [name for name in labels if name in rates]
    if len(names) < LEAST_TRACKERS:
        return None
    figure, axes = figure_with_legend(len(names))
    handles = []
    for name in names:
        look = {**looks[name].drawn(), "linestyle": "none", "marker": looks[name].marker, "markersize": 9}
        handles += axes.plot(rates[name], 100 * report["trackers"][name]["scores"][score], **look)
    axes.set(xscale="log", xlabel="frames a second", ylabel=f"{score}, %", title="Speed and accuracy")
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter(ScalarFormatter())
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.margins(0.2)
    add_legend(figure, handles, [f"{labels[name]}, {rates[name]:.1f} FPS" for name in names])
    return figure
