"""Aligned visible + thermal stills without labels: `<set>/{visible,thermal}/<name>.jpg`."""

from pathlib import Path

from tpf_training.datasets.damage import tolerate
from tpf_training.datasets.image_file import read_image
from tpf_training.datasets.pseudo_boxes import find_boxes
from tpf_training.datasets.record import DatasetError, Still
from tpf_training.datasets.splits import is_held_out


def read_rgbt_pairs(root: Path, skipped: list[DatasetError] | None = None) -> list[Still]:
    """Every pair under `root` with boxes of the regions that stand out in it.

    skipped: None makes a damaged pair an error; a list takes the errors instead.
    """
    stills = []
    for thermal in sorted(root.glob("*/thermal/*.jpg")):
        if is_held_out(thermal.stem):
            continue
        visible = thermal.parent.parent / "visible" / thermal.name
        with tolerate(skipped):
            stills.append(_read_pair(visible, thermal))
    if not stills:
        raise DatasetError(f"{root}: no pairs, expected <set>/{{visible,thermal}}/<name>.jpg")
    return stills


def _read_pair(visible_path: Path, thermal_path: Path) -> Still:
    visible, thermal = read_image(visible_path, grey=False), read_image(thermal_path, grey=True)
    if visible.shape[:2] != thermal.shape:
        raise DatasetError(f"{thermal_path}: is {thermal.shape[::-1]}, {visible_path} is {visible.shape[1::-1]}")
    name = f"{thermal_path.parent.parent.name}/{thermal_path.stem}"
    return Still(name, visible, thermal, find_boxes(thermal))
