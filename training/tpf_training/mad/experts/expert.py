"""What every fusion expert offers."""

import hashlib
from pathlib import Path
from typing import Protocol

import numpy as np


class ExpertError(ValueError):
    """An expert that cannot be opened or gives no usable image; the message says what is missing."""


class Expert(Protocol):
    """An image fusion method. It fuses luminance only: colour is the visible image's.

    name: of its configuration. fingerprint: changes whenever the content of its weights does.
    """

    name: str
    fingerprint: str

    def fuse(self, visible: np.ndarray, thermal: np.ndarray, name: str) -> np.ndarray:
        """Aligned visible (H, W, 3) uint8 RGB and thermal (H, W) uint8 of the pair `name` -> (H, W) uint8 luminance."""


def content_key(*files: Path) -> str:
    """40 hex digits that change whenever the content of one of the files does; OSError where one cannot be read."""
    digest = hashlib.sha1()
    for file in files:
        # The sizes keep two files from reading as one whose content is that of both.
        digest.update(f"{file.stat().st_size} ".encode())
        with open(file, "rb") as stream:
            while block := stream.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()
