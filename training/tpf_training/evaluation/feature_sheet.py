"""Pictures of several models and frames, side by side on one sheet."""

from pathlib import Path

from matplotlib.figure import Figure

from tpf_training.evaluation.feature_columns import Picture

FORMATS = ("png", "svg")
_INCHES = 1.7  # a picture's side


def draw_sheet(rows: dict[str, list[tuple[str, Picture]]], file: Path) -> None:
    """rows: by the view's name, its pictures in the order of the columns, each with the model it is of, or ""."""
    columns = len(next(iter(rows.values())))
    figure = Figure(figsize=(_INCHES * columns + 0.5, (_INCHES + 0.2) * len(rows) + 0.6), layout="constrained")
    for (view, pictures), line in zip(rows.items(), figure.subplots(len(rows), columns, squeeze=False)):
        for (model, picture), axes in zip(pictures, line, strict=True):
            axes.imshow(picture.image, interpolation="nearest")
            axes.set(xticks=[], yticks=[], frame_on=False)
            axes.set_xlabel(picture.caption, fontsize=7)
            if axes.get_subplotspec().is_first_row():
                axes.set_title(f"{model}\n{picture.title.replace(', ', chr(10))}", fontsize=7)
        line[0].set_ylabel(view, fontsize=7)
    figure.savefig(file, dpi=200)
