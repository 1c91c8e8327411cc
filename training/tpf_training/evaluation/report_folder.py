"""A report's folder: `report.html`, and beside it its pictures, under names that are safe in links."""

from collections.abc import Callable
from pathlib import Path

from matplotlib.figure import Figure

from tpf_training.evaluation.output_folder import make_folder
from tpf_training.evaluation.plot_style import describe, ground, save

PAGE, FILES = "report.html", "report_files"


class ReportFolder:
    """Makes the folder, and removes the pictures of a report that was there before; EvaluationError where it cannot."""

    def __init__(self, folder: Path):
        self.page, self.files = folder / PAGE, folder / FILES
        make_folder(self.files)
        for kind in ("svg", "jpg"):
            for file in self.files.glob(f"*.{kind}"):
                file.unlink()

    def add_figures(self, draw: Callable[[], dict[str, Figure]]) -> list[dict[str, str]]:
        """Save figures, by the stems of their files, for light and dark pages: of each `light`, `dark` and `alt`."""
        figures: dict[str, dict[str, str]] = {}
        for key, suffix in (("light", ""), ("dark", "_dark")):
            with ground(dark=key == "dark"):
                for stem, figure in draw().items():
                    (file,) = save(figure, self.files / f"{stem}{suffix}", ("svg",))
                    figures.setdefault(stem, {"alt": describe(figure)})[key] = f"{FILES}/{file.name}"
        return list(figures.values())

    def add_picture(self, name: str, data: bytes) -> str:
        """Save a picture; its link."""
        (self.files / name).write_bytes(data)
        return f"{FILES}/{name}"
