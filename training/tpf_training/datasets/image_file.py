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
        data = path.read_bytes()
    except OSError as error:
        raise DatasetError(f"{path}: missing or damaged image: {error.strerror}") from error
    for start, end in _ENDS.items():
        if data.startswith(start) and end not in data:
            raise DatasetError(f"{path}: missing or damaged image: cut off after {len(data)} bytes")
    image = _decode(data, cv2.IMREAD_ANYDEPTH if grey else cv2.IMREAD_COLOR)
    if image is None:
        raise DatasetError(f"{path}: missing or damaged image")
    if not grey:
        return cv2.cvtColor(image, cv2.COLOR_BGR2RGB)
    if image.dtype not in (np.uint8, np.uint16, np.float32):
        raise DatasetError(f"{path}: holds {image.dtype} values, needs uint8, uint16 or float32")
    return ThermalNormaliser()(image)


def _decode(data: bytes, flags: int) -> np.ndarray | None:
    try:
        return cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    except cv2.error:  # an empty file
        return None
