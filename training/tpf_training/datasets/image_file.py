"""One image in a file, to pixels."""

from pathlib import Path

import cv2
import numpy as np

from tpf_model.normalise import ThermalNormaliser
from tpf_training.datasets.record import DatasetError

# How files begin, and what a whole one has near its end: OpenCV decodes a file that was cut off without complaint.
_ENDS = {b"\xff\xd8": b"\xff\xd9", b"\x89PNG": b"IEND"}


def read_image(path: Path, grey: bool) -> np.ndarray:
    """(H, W, 3) uint8 RGB or (H, W) uint8; DatasetError names a file that is missing or damaged.

    Grey images of more than 8 bits are normalised by their 2nd and 98th percentile, each by itself.
    """
    try:
        image = decode_image(path.read_bytes(), cv2.IMREAD_ANYDEPTH if grey else cv2.IMREAD_COLOR)
        return ThermalNormaliser()(image) if grey else cv2.cvtColor(image, cv2.COLOR_BGR2RGB)
    except (OSError, ValueError) as error:
        raise DatasetError(f"{path}: missing or damaged image: {error}") from error


def decode_image(data: bytes, flags: int) -> np.ndarray:
    """The image in the bytes of a file, as cv2.imdecode gives it; ValueError where they are none, or not all of it."""
    for start, end in _ENDS.items():
        if data.startswith(start) and end not in data:
            raise ValueError(f"cut off after {len(data)} bytes")
    image = cv2.imdecode(np.frombuffer(data, np.uint8), flags) if data else None
    if image is None:
        raise ValueError(f"{len(data)} bytes that are not an image")
    return image
