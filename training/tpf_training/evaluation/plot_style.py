"""How the figures look: on light or dark ground, and told apart by readers who do not see colours as most do."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure

FORMATS = ("png", "svg")
# Okabe and Ito's palette without its yellow, which is hardly seen on white. With 4 dashes that is 28 lines.
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "black")
_DASHES = ("-", "--", "-.", ":")
_MARKERS = "osD^vP*Xp"
_GROUND, _INK, _GRID = "#1b1d21", "#e4e6ea", "#7a808a"  # the report's own, in the dark
_COMMON = {
    "font.family": "sans-serif",
    "font.size": 10,
    "axes.grid": True,
    "grid.alpha": 0.3,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "legend.frameon": False,
    "text.parse_math": False,  # names may hold dollars
    "svg.fonttype": "none",  # text stays text: small, searchable, in any script
    "svg.hashsalt": "tpf",  # the same numbers give the same file
}
_DARK = {
    "figure.facecolor": _GROUND,
    "axes.facecolor": _GROUND,
    "grid.color": _GRID,
    **{f"{part}color": _INK for part in ("text.", "axes.edge", "axes.label", "axes.title", "xtick.", "ytick.")},
}


@dataclass(frozen=True)
class Line:
    """A tracker's look, the same in every figure."""

    colour: str
    dashes: str
    marker: str
    width: float = 1.6

    def drawn(self) -> dict:
        """Arguments of `Axes.plot`. Black is the colour of text, whatever the ground."""
        colour = matplotlib.rcParams["text.color"] if self.colour == "black" else self.colour
        return {"color": colour, "linestyle": self.dashes, "linewidth": self.width}


def lines(names: list[str], subject: str | None = None) -> dict[str, Line]:
    """A line for each tracker; the `subject`'s is the first one, and thick."""
    ordered = sorted(names, key=lambda name: name != subject)
    looks = {
        name: Line(_COLOURS[i % len(_COLOURS)], _DASHES[i % len(_DASHES)], _MARKERS[i % len(_MARKERS)])
        for i, name in enumerate(ordered)
    }
    if subject is not None:
        looks[subject] = Line(_COLOURS[0], _DASHES[0], _MARKERS[0], 2.6)
    return looks


@contextmanager
def ground(dark: bool = False) -> Iterator[None]:
    """Figures are made and saved in here."""
    with matplotlib.rc_context(_COMMON | (_DARK if dark else {})):
        yield


def figure_with_legend(entries: int, height: float = 3.3, projection: str | None = None) -> tuple[Figure, Axes]:
    """An empty figure of so many inches' height, and room below it for a legend of so many lines."""
    below = 0.21 * entries
    figure = Figure(figsize=(4.7, height + below), layout="constrained")
    grid = figure.add_gridspec(2, 1, height_ratios=(height, below))
    axes = figure.add_subplot(grid[0], projection=projection)
    figure.add_subplot(grid[1]).set_axis_off()
    return figure, axes


def add_legend(figure: Figure, handles: list, labels: list[str]) -> None:
    """One entry a line below the axes: ten trackers never hide what they reached."""
    _, below = figure.axes
    below.legend(handles, labels, loc="upper left", borderpad=0, borderaxespad=0, labelspacing=0.25, handlelength=3.2)


def describe(figure: Figure) -> str:
    """Its title and legend, for who cannot see it."""
    axes, below = figure.axes
    labels = "; ".join(text.get_text() for text in below.get_legend().get_texts())
    return f"{axes.get_title()}: {labels}"


def save(figure: Figure, stem: Path, formats: tuple[str, ...]) -> list[Path]:
    """Write `<stem>.<format>` each."""
    files = [stem.with_name(f"{stem.name}.{kind}") for kind in formats]
    for file in files:
        figure.savefig(file, dpi=200, bbox_inches="tight", metadata={"Date": None} if file.suffix == ".svg" else None)
    return files
