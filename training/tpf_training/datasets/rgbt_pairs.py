"""Aligned visible + thermal stills without labels: `<set>/{visible,thermal}/<name>`, with any of `SUFFIXES`."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tpf_model.boxes import Box
from tpf_training.datasets.damage import tolerate
from tpf_training.datasets.image_file import read_image
from tpf_training.datasets.image_folder import SUFFIXES, images_by_stem
from tpf_training.datasets.pseudo_boxes import find_boxes
from tpf_training.datasets.record import DatasetError, Still
from tpf_training.datasets.splits import is_held_out


@dataclass(frozen=True)
class PairFiles:
    """An aligned pair on disk; name: `<set>/<name>`; target: its true box, x, y, w, h in pixels, where it is known."""

    name: str
    visible: Path
    thermal: Path
    target: Box | None = None

    def read(self) -> tuple[np.ndarray, np.ndarray]:
        """(H, W, 3) uint8 RGB and (H, W) uint8; DatasetError names a file that is damaged or of another size."""
        visible, thermal = read_image(self.visible, grey=False), read_image(self.thermal, grey=True)
        if visible.shape[:2] != thermal.shape:
            raise DatasetError(f"{self.thermal}: is {thermal.shape[::-1]}, {self.visible} is {visible.shape[1::-1]}")
        return visible, thermal


def read_rgbt_pairs(root: Path, skipped: list[DatasetError] | None = None) -> list[Still]:
    """Every pair under `root` with boxes of the regions that stand out in it.

    skipped: None makes a damaged pair an error; a list takes the errors instead.
    """
    stills = []
    for files in find_pairs(root, skipped):
        with tolerate(skipped):
            visible, thermal = files.read()
            stills.append(Still(files.name, visible, thermal, find_boxes(thermal)))
    if not stills:
        raise DatasetError(f"{root}: no pairs that can be read")
    return stills


def find_pairs(root: Path, skipped: list[DatasetError] | None = None) -> list[PairFiles]:
    """Every pair under `root` that is not held out, by the images' names without suffix.

    DatasetError names a lacking visible image, and two images of one name. skipped: as above.
    """
    pairs = []
    for folder in sorted(root.glob("*/thermal")):
        group = folder.parent
        visible = images_by_stem(group / "visible")
        for stem, thermal in images_by_stem(folder).items():
            if is_held_out(stem):
                continue
            with tolerate(skipped):
                if stem not in visible:
                    missing = group / "visible" / thermal[0].name
                    raise DatasetError(f"{missing}: missing, its thermal image is {thermal[0]}")
                pairs.append(PairFiles(f"{group.name}/{stem}", _only(visible[stem]), _only(thermal)))
    if not pairs:
        raise DatasetError(f"{root}: no pairs, expected <set>/{{visible,thermal}}/<name>, images {', '.join(SUFFIXES)}")
    return pairs


def _only(images: list[Path]) -> Path:
    if len(images) > 1:
        others = ", ".join(image.name for image in images[1:])
        raise DatasetError(f"{images[0]}: there is {others}, too; a pair needs one image of each modality")
    return images[0]
