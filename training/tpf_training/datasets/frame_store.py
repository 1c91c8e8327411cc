"""Decoded video frames: every video is decoded once, in order, and the wanted part of it kept as one array.

With a cache folder the arrays are .npy files there, memory-mapped, so several processes share them and the next start
decodes nothing.
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from tpf_training.datasets.record import DatasetError
from tpf_training.whole_file import whole_file


@dataclass(frozen=True)
class Wanted:
    """What to keep of a video.

    frames: (N,) rising frame numbers; grey: one channel; scale: output pixels a source pixel; corners: (N, 2) int, the
    top-left x, y of the region kept of each frame, and region: its (width, height), both in source pixels; None for
    whole frames.
    """

    frames: np.ndarray
    grey: bool
    scale: float = 1.0
    corners: np.ndarray | None = None
    region: tuple[int, int] | None = None

    def key(self, video: Path) -> str:
        """Changes whenever the video's file or what is wanted of it changes."""
        status = video.stat()
        digest = hashlib.sha1(f"{video.resolve()} {status.st_size} {status.st_mtime_ns}".encode())
        digest.update(f"{self.grey} {self.scale} {self.region}".encode())
        digest.update(np.ascontiguousarray(self.frames, dtype=np.int64).tobytes())
        if self.corners is not None:
            digest.update(np.ascontiguousarray(self.corners, dtype=np.int64).tobytes())
        return digest.hexdigest()[:20]


def load_frames(video: Path, wanted: Wanted, cache: Path | None = None) -> np.ndarray:
    """Frames (N, h, w, 3) uint8 RGB or (N, h, w) uint8 of `video`; DatasetError names the file and lacking frame."""
    if cache is None:
        return _decode(video, wanted)
    path = cache / f"{video.parent.name}_{video.stem}_{wanted.key(video)}.npy"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(path) as part, open(part, "wb") as file:
            np.save(file, _decode(video, wanted))
    return np.load(path, mmap_mode="r")


def probe(video: Path) -> tuple[int, tuple[int, int]]:
    """The number of frames that the container of `video` states, and their (width, height)."""
    if not video.is_file():
        raise DatasetError(f"{video}: no such video")
    capture = cv2.VideoCapture(str(video))
    keys = cv2.CAP_PROP_FRAME_COUNT, cv2.CAP_PROP_FRAME_WIDTH, cv2.CAP_PROP_FRAME_HEIGHT
    count, width, height = (int(capture.get(key)) for key in keys)
    capture.release()
    if count <= 0:
        raise DatasetError(f"{video}: not a readable video")
    return count, (width, height)


def _decode(video: Path, wanted: Wanted) -> np.ndarray:
    capture = cv2.VideoCapture(str(video))
    frames, position = [], 0
    try:
        for index, number in enumerate(wanted.frames):
            while position < number and capture.grab():
                position += 1
            ok, image = capture.read()
            if not ok:
                raise DatasetError(f"{video}: frame {number} is missing or damaged")
            position += 1
            frames.append(_prepare(image, wanted, index))
    finally:
        capture.release()
    return np.stack(frames)


def _prepare(image: np.ndarray, wanted: Wanted, index: int) -> np.ndarray:
    if wanted.region is not None:
        (x, y), (w, h) = wanted.corners[index], wanted.region
        image = image[y : y + h, x : x + w]
    if wanted.scale != 1:
        size = max(1, round(image.shape[1] * wanted.scale)), max(1, round(image.shape[0] * wanted.scale))
        image = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    return cv2.cvtColor(image, cv2.COLOR_BGR2GRAY if wanted.grey else cv2.COLOR_BGR2RGB)
