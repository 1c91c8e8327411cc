"""A folder of frames, one image file each, in natural order of their names (frame2 before frame10)."""

import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import numpy as np

from tpf_ros.bad_image import BadImage
from tpf_ros.image_decoding import decode_thermal, decode_visible
from tpf_ros.sources.source import Item, Modality, SourceError

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp", ".pgm", ".ppm")


class FolderSource:
    """The images of a folder; files of other kinds in it are left aside. Frame i has the stamp i / `rate` seconds."""

    def __init__(self, path: Path, modality: Modality, rate: float):
        self.name = str(path)
        self.rate = rate
        self._modality = modality
        images = [file for file in path.iterdir() if _is_image(file)]
        if not images:
            raise SourceError(f"{path} holds no images; accepted: {', '.join(SUFFIXES)}")
        self.files = sorted(images, key=lambda file: (_natural(file.name), file.name))
        self.count = len(self.files)

    def __iter__(self) -> Iterator[Item]:
        for index, file in enumerate(self.files):
            stamp = round(index / self.rate * 1e9)
            yield Item(f"frame {file}", stamp, stamp, partial(read_image, file, self._modality), file.read_bytes)


def check_numbers(visible: FolderSource, thermal: FolderSource) -> None:
    """SourceError where the numbers in the frames' names show that their order alone makes wrong pairs."""
    numbers, others = _numbers(visible.files), _numbers(thermal.files)
    if numbers is None or others is None:
        return
    for file, other, number, other_number in zip(visible.files, thermal.files, numbers, others):
        if number != other_number:
            raise SourceError(
                f"{file} and {other} are a pair by their order, but not by their numbers: a frame is missing in one of "
                "the folders; remove those without a partner from the other one"
            )


def _numbers(files: list[Path]) -> list[int] | None:
    """The last number in each name, less the first one's; None where they do not count frames.

    They do if most are one more than the one before; those of clock times are not.
    """
    found = [re.findall(r"[0-9]+", file.stem) for file in files]
    if not all(found):
        return None
    numbers = [int(each[-1]) for each in found]
    steps = [later - number for number, later in zip(numbers, numbers[1:])]
    return [number - numbers[0] for number in numbers] if 2 * steps.count(1) > len(steps) else None


def _is_image(file: Path) -> bool:
    return file.suffix.lower() in SUFFIXES and file.name[0] != "." and file.is_file()


def _natural(name: str) -> list[tuple[int, str]]:
    return [(int(part), "") if part.isdecimal() else (-1, part.lower()) for part in re.split(r"([0-9]+)", name)]


def read_image(path: Path, modality: Modality) -> np.ndarray:
    """(H, W, 3) uint8 RGB of a visible, (h, w) uint8 | uint16 | float32 of a thermal image; SourceError names it."""
    try:
        file = SimpleNamespace(data=path.read_bytes(), format=path.suffix)  # the fields of a CompressedImage
        return decode_visible(file) if modality == "visible" else decode_thermal(file)
    except OSError as error:
        raise SourceError(f"frame {path} cannot be read: {error.strerror}") from error
    except BadImage as error:
        raise SourceError(f"frame {path} is damaged: {error}") from error
