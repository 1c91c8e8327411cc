"""A benchmark's curves: the share of frames that pass, by threshold, for each tracker."""

from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from tpf_training.evaluation.curve import Curve
from tpf_training.evaluation.plot_style import Line, add_legend, figure_with_legend
from tpf_training.evaluation.score_report import percent

# By a curve's quantity, what its figure is called, and its axes.
TITLES = {"errors": "Precision", "normalised_errors": "Normalised precision", "overlaps": "Success"}
_THRESHOLDS = {
    "errors": "centre error threshold, pixels",
    "normalised_errors": "centre error threshold, target sizes",
    "overlaps": "overlap threshold",
}


def draw_curves(report: dict, curve: Curve, looks: dict[str, Line]) -> Figure | None:
    """The figure of one of the benchmark's curves, best tracker first; None where no tracker has one.

    report: see `make_report`.
    """
    scored = ranked(report, curve.name)
    if not scored:
        return None
    figure, axes = figure_with_legend(len(scored))
    handles = []
    for name in scored:
        shares = report["trackers"][name]["curves"][curve.name]
        handles += axes.plot(curve.thresholds, shares, **looks[name].drawn())
    if isinstance(curve.score, int):  # the threshold that the score is read at
        axes.axvline(curve.thresholds[curve.score], color="grey", linewidth=0.8, zorder=0)
    axes.set(xlabel=_THRESHOLDS[curve.quantity], ylabel="frames", title=f"{TITLES[curve.quantity]} ({curve.name})")
    axes.set(xlim=(curve.thresholds[0], curve.thresholds[-1]), ylim=(0, 1.01))
    axes.yaxis.set_major_formatter(PercentFormatter(1))
    add_legend(figure, handles, legend_labels(report, curve.name))
    return figure


def ranked(report: dict, score: str) -> list[str]:
    """The trackers that have it, best first."""
    trackers = {name: tracker for name, tracker in report["trackers"].items() if tracker["scores"]}
    return sorted(trackers, key=lambda name: -trackers[name]["scores"][score])


def legend_labels(report: dict, score: str) -> list[str]:
    """`[69.50] name` of each of `ranked`; where sequences could not be scored, of how many it is."""
    labels = []
    for name in ranked(report, score):
        tracker = report["trackers"][name]
        of = f" ({len(tracker['sequences'])}/{report['sequences']} sequences)" if tracker["failed"] else ""
        labels.append(f"[{percent(tracker['scores'][score])}] {name}{of}")
    return labels
