"""The modality gap by layer, as a picture: a panel for each two inputs, a line for each model."""

from pathlib import Path

from matplotlib.figure import Figure

FORMATS = (".png", ".svg")


def draw_gaps(report: dict, file: Path) -> None:
    """report: as `gap.run` makes it. Bars are two standard errors each way, shaded is what no gap looks like."""
    models = report["models"]
    pairs = list(next(iter(models.values())))
    layers = max((list(gaps[pairs[0]]) for gaps in models.values()), key=len)
    figure = Figure(figsize=(4.2 * len(pairs), 4), layout="constrained")
    for axes, pair in zip(figure.subplots(1, len(pairs), sharey=True, squeeze=False)[0], pairs):
        for index, (name, gaps) in enumerate(models.items()):
            values, colour = list(gaps[pair].values()), f"C{index}"
            squared, errors, noise = ([gap[key] for gap in values] for key in ("squared", "error", "noise"))
            places, bars = range(len(values)), [2 * error for error in errors]
            axes.errorbar(places, squared, bars, label=name, color=colour, marker=".", capsize=2)
            axes.fill_between(places, 0, noise, color=colour, alpha=0.25, linewidth=0)
        axes.axhline(0, color="black", linewidth=0.8)
        axes.set_xticks(range(len(layers)), layers, rotation=45, ha="right")
        axes.set(title=pair.replace("-", " against "), xlabel="layer")
        axes.grid(alpha=0.3)
    figure.axes[0].set_ylabel("MMD²")
    figure.axes[0].legend()
    what = f"{report['pairs']} pairs ({report['images']})"
    figure.suptitle(f"Modality gap, {what}; bars: 2 standard errors; shaded: no gap (95 % of permutations)")
    figure.savefig(file, dpi=150)
