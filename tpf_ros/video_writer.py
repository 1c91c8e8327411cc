"""Writing H.264 videos that play everywhere (yuv420p)."""

import os
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np

SUFFIXES = (".mp4", ".mkv", ".mov", ".avi")


class VideoWriter:
    """Writes RGB frames to a video, resized to the first one's size. Close it, or the file does not play."""

    def __init__(self, path: str | os.PathLike, rate: float):
        """`rate` in frames a second, > 0. ValueError for a suffix not in `SUFFIXES`, OSError from the file."""
        self.path = Path(path)
        if self.path.suffix.lower() not in SUFFIXES:
            raise ValueError(f"video {self.path} must end in one of {', '.join(SUFFIXES)}")
        self.path.open("wb").close()  # PyAV would open it only at the first frame
        self._container = av.open(str(self.path), "w")
        self._stream = self._container.add_stream("libx264", rate=Fraction(rate).limit_denominator(1001))
        self._stream.pix_fmt = "yuv420p"
        self._stream.options = {"preset": "veryfast", "crf": "20"}
        if self.path.suffix.lower() == ".avi":
            self._stream.options |= {"bf": "0"}  # AVI has no times of presentation, so the frames must be in order
        self._size = None
        self._rate, self._index, self._begin = rate, -1, 0

    def write(self, image: np.ndarray, time: int | None = None) -> None:
        """Append (H, W, 3) uint8 RGB.

        `time`, if given for every frame: when it was, ns on any clock. A frame is shown until the next one's time, but
        at least 1 / `rate`. Without, they are 1 / `rate` apart.
        """
        if self._size is None:
            height, width = image.shape[:2]
            self._size = (width, height)
            self._stream.width, self._stream.height = width + width % 2, height + height % 2
        width, height = self._size
        if image.shape[:2] != (height, width):
            image = cv2.resize(image, self._size, interpolation=cv2.INTER_AREA)
        # 4:2:0 chroma needs even sizes: an odd image repeats its last row or column.
        even = np.pad(image, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
        frame = av.VideoFrame.from_ndarray(even, format="rgb24")
        frame.pts = self._index = self._next_index(time)
        self._mux(frame)

    def close(self) -> None:
        """Finish the file. A video without a frame is removed: no player would open it."""
        if self._size is None:
            self._container.close()
            self.path.unlink(missing_ok=True)
            return
        self._mux(None)
        self._container.close()

    def _next_index(self, time: int | None) -> int:
        if time is None:
            return self._index + 1
        if self._index < 0:
            self._begin = time
        return max(self._index + 1, round((time - self._begin) * 1e-9 * self._rate))

    def _mux(self, frame: av.VideoFrame | None) -> None:
        for packet in self._stream.encode(frame):
            self._container.mux(packet)

    def __enter__(self) -> "VideoWriter":
        return self

    def __exit__(self, *_exception) -> None:
        self.close()
