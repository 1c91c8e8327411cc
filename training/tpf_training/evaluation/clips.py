"""Labelled clips as they are evaluated: every frame, at full size, decoded as it is needed.

The targets' files are those that training reads (see `datasets/rgbt_video.py` and `datasets/single_modality.py`).
"""

import dataclasses
import difflib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path

import cv2
import numpy as np

from tpf_training.datasets.box_file import read_boxes
from tpf_training.datasets.clip_boxes import INSIDE, clip_boxes
from tpf_training.datasets.labelled_video import common_size
from tpf_training.datasets.record import DatasetError
from tpf_training.datasets.splits import evaluation_names
from tpf_training.evaluation.degradation import MODALITIES
from tpf_training.evaluation.one_pass import Images
from tpf_training.evaluation.parts import Parts


@dataclass(frozen=True)
class VideoSequence(Parts):
    """A target in one video or an aligned pair of equal size, a `Sequence` for `one_pass.py`.

    first: the number in the video of frame 0, the first that shows the target. step: each frame is so many of the
    video's after the one before. boxes are cut at the image's edges, beyond which no tracker can see; a frame is
    `present` where the box file calls the target visible and at least 0.6 of the box is in the image, as in training.
    Frames without a line in the box file are tracked, and do not count.
    """

    name: str
    visible: Path | None
    thermal: Path | None
    first: int
    boxes: np.ndarray
    present: np.ndarray
    step: int = 1

    @property
    def modalities(self) -> tuple[str, ...]:
        return tuple(name for name in MODALITIES if getattr(self, name))

    def part(self, frames: slice, name: str) -> "VideoSequence":
        first, step = self.first + frames.start * self.step, self.step * frames.step
        seen = {"boxes": self.boxes[frames], "present": self.present[frames]}
        return dataclasses.replace(self, name=name, first=first, step=step, **seen)

    def images(self) -> Iterator[Images]:
        """Each frame's images; DatasetError names the video and the frame that it lacks."""
        return zip(
            self._decode(self.visible, cv2.COLOR_BGR2RGB), self._decode(self.thermal, cv2.COLOR_BGR2GRAY), strict=True
        )

    def _decode(self, video: Path | None, conversion: int) -> Iterator[np.ndarray | None]:
        count = len(self.boxes)
        if video is None:
            return iter([None] * count)
        return islice(_decode(video, self.first, (count - 1) * self.step + 1, conversion), 0, None, self.step)


def read_paired(path: Path) -> list[VideoSequence]:
    """Every target of the clip at `path` or, where it is a folder of clips, of all clips in it.

    A clip is a folder with `visible.mp4`, `thermal.mp4` and a `<target>.csv` for each target.
    """
    return [read() for _, read in find_paired(path)]


def find_paired(path: Path) -> list[tuple[str, Callable[[], VideoSequence]]]:
    """As `read_paired`, but of each target its name, `<clip>/<target>`, and what reads it."""
    is_clip = (path / "visible.mp4").exists()
    folders = [path] if is_clip else sorted(video.parent for video in path.glob("*/visible.mp4"))
    targets = [(f"{folder.name}/{boxes.stem}", boxes) for folder in folders for boxes in sorted(folder.glob("*.csv"))]
    if not targets:
        raise DatasetError(f"{path}: no clips, expected visible.mp4, thermal.mp4 and <target>.csv in it or its folders")
    return [
        (name, partial(_read, name, boxes, boxes.with_name("visible.mp4"), boxes.with_name("thermal.mp4")))
        for name, boxes in targets
    ]


def read_single(list_file: Path) -> list[VideoSequence]:
    """The clips that `list_file` names, one a line, from `{visible,thermal}/<clip>.{mp4,csv}` beside it."""
    root = list_file.parent
    found = {boxes.stem: boxes for modality in MODALITIES for boxes in (root / modality).glob("*.csv")}
    sequences = []
    for name in sorted(evaluation_names(list_file)):
        if name not in found:
            near = difflib.get_close_matches(name, found, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise DatasetError(f"{list_file}: no visible/{name}.csv or thermal/{name}.csv in {root}{hint}")
        boxes = found[name]
        sequences.append(_read(name, boxes, **{boxes.parent.name: boxes.with_suffix(".mp4")}))
    return sequences


def _read(name: str, box_file: Path, visible: Path | None = None, thermal: Path | None = None) -> VideoSequence:
    frames, given, shown = read_boxes(box_file)
    size = common_size([video for video in (visible, thermal) if video], box_file, frames[-1])
    return VideoSequence(name, visible, thermal, *labelled_span(box_file, size, frames, given, shown))


def labelled_span(
    box_file: Path, size: tuple[int, int], frames: np.ndarray, given: np.ndarray, shown: np.ndarray
) -> tuple[int, np.ndarray, np.ndarray]:
    """The first frame that shows the target, and from it to the last labelled one `boxes` and `present` of a sequence.

    size: (width, height) of the images; frames, given, shown: of `box_file`, see `read_boxes`.
    """
    clipped, inside = clip_boxes(given, size)
    shown = shown & (inside >= INSIDE)
    if not shown.any():
        raise DatasetError(f"{box_file}: the target is never visible in the {size[0]}x{size[1]} image")
    first = int(frames[shown.argmax()])
    used = frames >= first
    count = int(frames[-1]) - first + 1
    if count < 2:
        raise DatasetError(f"{box_file}: the target is only in the last frame {first}, nothing is left to track")
    boxes, present = np.zeros((count, 4)), np.zeros(count, bool)
    boxes[frames[used] - first] = clipped[used]
    present[frames[used] - first] = shown[used]
    return first, boxes, present


def _decode(video: Path, first: int, count: int, conversion: int) -> Iterator[np.ndarray]:
    capture = cv2.VideoCapture(str(video))
    try:
        for number in range(first + count):
            ok = capture.grab()  # without seeking, which is inexact in some containers
            ok, image = capture.retrieve() if ok and number >= first else (ok, None)
            if not ok:
                raise DatasetError(f"{video}: frame {number} is missing or damaged")
            if number >= first:
                yield cv2.cvtColor(image, conversion)
    finally:
        capture.release()
