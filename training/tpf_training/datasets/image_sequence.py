"""Frames in image files that are decoded one by one, when asked for."""

import os
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from tpf_training.datasets.image_file import read_image
from tpf_training.datasets.record import DatasetError


def file_names(names: Iterable[str]) -> np.ndarray:
    """(N,) bytes of `names`: a few bytes a frame in one block, which processes share, where a list would take 100."""
    return np.array([os.fsencode(name) for name in names], dtype=np.bytes_)


class ImageSequence:
    """Stands in for the array (N, H, W, 3) of RGB or (N, H, W) of grey uint8 frames.

    names: what `file_names` gives, of files in `folder`. size: (width, height), the same of all of them. `shape` is the
    array's; nothing is decoded but the frame that is asked for. DatasetError names a frame that is missing, damaged or
    of another size.
    """

    def __init__(self, folder: Path, names: np.ndarray, size: tuple[int, int], grey: bool):
        self.folder, self.names, self.grey = folder, names, grey
        self.shape = (len(names), size[1], size[0]) + (() if grey else (3,))

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, index: int) -> np.ndarray:
        path = self.path(index)
        image = read_image(path, self.grey)
        if image.shape != self.shape[1:]:
            (h, w), (height, width) = image.shape[:2], self.shape[1:3]
            raise DatasetError(f"{path}: is {w}x{h}, the first frame of the sequence is {width}x{height}")
        return image

    def take(self, indices: np.ndarray) -> "ImageSequence":
        """The frames of `indices`, in their order."""
        return ImageSequence(self.folder, self.names[indices], self.shape[2:0:-1], self.grey)

    def path(self, index: int) -> Path:
        """The file of a frame."""
        return self.folder / os.fsdecode(bytes(self.names[index]))
