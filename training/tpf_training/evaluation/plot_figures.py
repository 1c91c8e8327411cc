"""All figures of scored trackers."""

from matplotlib.figure import Figure

from tpf_training.datasets.record import DatasetError
from tpf_training.evaluation.frame_times import frame_rate
from tpf_training.evaluation.plot_curves import TITLES, draw_curves
from tpf_training.evaluation.plot_radar import LEAST_ATTRIBUTES, draw_radar, radar_attributes
from tpf_training.evaluation.plot_speed import LEAST_TRACKERS, draw_speed
from tpf_training.evaluation.plot_style import Line
from tpf_training.evaluation.score import Scored


def draw_figures(scored: Scored, rates: dict[str, float], looks: dict[str, Line]) -> dict[str, Figure]:
    """By the stem of its file, each figure that there are numbers for: the curves, `attributes` and `speed`.

    rates: frames a second, of the trackers where that is known.
    """
    report, last = scored.report, scored.benchmark.curves[-1].name
    # Of curves that differ in how they become a number, the first.
    curves = {curve.quantity: curve for curve in reversed(scored.benchmark.curves)}
    figures = {
        TITLES[quantity].lower().replace(" ", "_"): draw_curves(report, curves[quantity], looks)
        for quantity in TITLES
        if quantity in curves
    }
    figures["attributes"] = draw_radar(report, last, looks)
    figures["speed"] = draw_speed(report, last, rates, looks)
    return {stem: figure for stem, figure in figures.items() if figure}


def frame_rates(scored: Scored) -> tuple[dict[str, float], list[str]]:
    """Frames a second of each tracker with times beside its results, and which of them are damaged, and how."""
    rates, damaged = {}, []
    for name, files in scored.files.items():
        try:
            rate = frame_rate(files[sequence] for sequence in scored.report["trackers"][name]["sequences"])
        except DatasetError as error:
            damaged.append(f"{name}: {error}")
        else:
            if rate is not None:
                rates[name] = rate
    return rates, damaged


def left_out(scored: Scored, rates: dict[str, float]) -> list[str]:
    """What the figures do not show, and why."""
    trackers, notes = scored.report["trackers"], []
    for name, folder in scored.folders.items():
        if trackers[name]["scores"] is None:
            notes.append(f"{name} is in no figure: none of its results could be scored")
        elif name not in rates:
            notes.append(f"{name} is not in the figure of speed: {folder} has no usable <sequence>_time.txt")
    if len(rates) < LEAST_TRACKERS:
        notes.append(f"there is no figure of speed: fewer than {LEAST_TRACKERS} trackers have times")
    if len(radar_attributes(scored.report)) < LEAST_ATTRIBUTES:
        notes.append(f"there is no figure of attributes: fewer than {LEAST_ATTRIBUTES} are known of these sequences")
    return notes
