"""Fused images of an expert, kept in folders: `<folder>/<set>/<name>.png`, or `{set}` anywhere in the folder's path."""

from pathlib import Path

import numpy as np

from tpf_training.datasets.image_file import read_image
from tpf_training.datasets.record import DatasetError

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff")
SET = "{set}"


def find_fused(folder: Path, pair: str, expert: str) -> Path:
    """Where the image of the pair `<set>/<name>` lies; DatasetError names the expert and the image that is missing."""
    group, _, name = pair.rpartition("/")
    place = Path(str(folder).replace(SET, group)) if SET in str(folder) else folder / group
    for suffix in SUFFIXES:
        path = place / f"{name}{suffix}"
        if path.is_file():
            return path
    others = ", ".join(SUFFIXES[1:])
    raise DatasetError(f"{place / name}.png: expert {expert!r} has no image of pair {pair!r} (nor {others})")


def fixed_part(folder: Path) -> Path:
    """`folder` up to where the set's name comes in."""
    parts = folder.parts
    return Path(*parts[: next((i for i, part in enumerate(parts) if SET in part), len(parts))])


def read_fused(path: Path, size: tuple[int, int]) -> np.ndarray:
    """(H, W) uint8 luminance of `size` (H, W); DatasetError names a file that is damaged or of another size."""
    image = read_image(path, grey=True)
    if image.shape != size:
        raise DatasetError(f"{path}: is {image.shape[1]}x{image.shape[0]}, its pair is {size[1]}x{size[0]}")
    return image
