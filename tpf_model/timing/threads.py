"""A fixed number of threads while something is measured."""

from collections.abc import Iterator
from contextlib import contextmanager

import cv2
import torch


@contextmanager
def pinned_threads(count: int) -> Iterator[None]:
    """PyTorch and OpenCV of this process use `count` threads inside, and as many as before afterwards."""
    before = torch.get_num_threads(), cv2.getNumThreads()
    torch.set_num_threads(count)
    cv2.setNumThreads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before[0])
        cv2.setNumThreads(before[1])
