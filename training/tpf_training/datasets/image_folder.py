"""The images of a folder in the order of time."""

import os
import re
from pathlib import Path

from tpf_training.datasets.record import DatasetError

SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff")
Listing = tuple[Path, list[str]]  # a folder and its images in the order of time
_NUMBER = re.compile(r"(\d+)")


def list_images(folder: Path) -> list[str]:
    """Names of the images in `folder`, by the numbers in them (9 before 10); DatasetError where there are none."""
    try:
        names = [name for name in os.listdir(folder) if name.lower().endswith(SUFFIXES) and not name.startswith(".")]
    except OSError as error:
        raise DatasetError(f"{folder}: cannot list the frames: {error.strerror}") from error
    if not names:
        raise DatasetError(f"{folder}: no frames, expected files ending in {', '.join(SUFFIXES)}")
    return sorted(names, key=natural_key)


def images_by_stem(folder: Path) -> dict[str, list[Path]]:
    """By the name without suffix, every image of it in `folder`; empty where there is no such folder."""
    found: dict[str, list[Path]] = {}
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        if path.suffix.lower() in SUFFIXES and not path.name.startswith("."):
            found.setdefault(path.stem, []).append(path)
    return found


def list_pairs(visible: Path | None, thermal: Path | None) -> tuple[Listing | None, Listing | None]:
    """Each folder with its images; None stays None. DatasetError as of `list_images`, and where the counts differ."""
    listings = tuple(None if folder is None else (folder, list_images(folder)) for folder in (visible, thermal))
    counts = {folder: len(names) for folder, names in filter(None, listings)}
    if len(set(counts.values())) > 1:
        raise DatasetError(", ".join(f"{folder} has {count} frames" for folder, count in counts.items()))
    return listings


def natural_key(name: str) -> list:
    """Sorts by text and numbers in turn."""
    parts = _NUMBER.split(name)
    parts[1::2] = map(int, parts[1::2])
    return parts
