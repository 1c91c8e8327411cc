"""A made-up pair of images for measurements that need no more than something to look at."""

import cv2
import numpy as np

from tpf_model.boxes import Box
from tpf_model.frame import Frame

BOX: Box = (300.0, 200.0, 40.0, 90.0)
_SIZE = 640, 512


def make_scene() -> Frame:
    """A bright and warm figure in BOX before a textured background."""
    rng = np.random.default_rng(0)
    images = [cv2.resize(rng.integers(20, 120, (64, 80), np.uint8), _SIZE) for _ in range(4)]
    for image in images:
        x, y, w, h = map(int, BOX)
        cv2.ellipse(image, (x + w // 2, y + h // 2), (w // 2, h // 2), 0, 0, 360, 230, -1)
    return Frame(np.dstack(images[:3]), images[3])
