"""Samples from clips with boxes: z0 < zd < x in time, at most 200 frames apart."""

import numpy as np

from tpf_model.boxes import Box
from tpf_model.crop import Crop
from tpf_training.datasets.record import Clip, DatasetError
from tpf_training.sampling.jitter import DYNAMIC, SEARCH, TEMPLATE, Jitter
from tpf_training.sampling.view import View, cut

MAX_GAP = 200  # frames of the video between the first and the search frame
ABSENT_TARGET = 0.1  # how often the search crop does not show the target
SAME_TEMPLATE = 0.3  # how often the dynamic template still is the first one, as in a track's first frames


class ClipSource:
    """Draws a clip, all alike, then three frames of it."""

    def __init__(self, clips: list[Clip]):
        self.clips = [clip for clip in clips if len(_starts(clip))]
        if not self.clips:
            raise DatasetError(f"no three frames within {MAX_GAP} in any of {', '.join(clip.name for clip in clips)}")

    def views(self, rng: np.random.Generator) -> tuple[View, View, View] | None:
        """Template, dynamic and search view, or None where the draw gave no usable crop."""
        clip = self.clips[rng.integers(len(self.clips))]
        first, second, last = draw_frames(rng, clip)
        dynamic = (first, TEMPLATE) if rng.random() < SAME_TEMPLATE else (second, DYNAMIC)
        search = _absent(rng, clip, last) if rng.random() < ABSENT_TARGET else _view(rng, clip, last, SEARCH)
        views = *(_view(rng, clip, *choice) for choice in ((first, TEMPLATE), dynamic)), search
        return None if None in views else views


def draw_frames(rng: np.random.Generator, clip: Clip) -> tuple[int, int, int]:
    """Indices of three frames, in the order of time, within MAX_GAP frames of the video."""
    starts = _starts(clip)
    first = starts[rng.integers(len(starts))]
    end = np.searchsorted(clip.frames, clip.frames[first] + MAX_GAP, side="right")
    second, last = np.sort(rng.choice(np.arange(first + 1, end), 2, replace=False))
    return int(first), int(second), int(last)


def _starts(clip: Clip) -> np.ndarray:
    """Indices of the frames that two more follow within MAX_GAP."""
    return np.flatnonzero(clip.frames[2:] - clip.frames[:-2] <= MAX_GAP)


def _view(rng: np.random.Generator, clip: Clip, index: int, jitter: Jitter) -> View | None:
    box = tuple(float(v) for v in clip.boxes[index])
    crop = jitter.crop(rng, box)
    return None if crop is None else _cut(clip, index, box, crop)


def _absent(rng: np.random.Generator, clip: Clip, index: int) -> View | None:
    """A search view of another place in the same frame."""
    frames = clip.visible if clip.visible is not None else clip.thermal
    found = SEARCH.crop_elsewhere(rng, tuple(float(v) for v in clip.boxes[index]), frames.shape[2:0:-1])
    if found is None:
        return None
    crop, box = found
    view = _cut(clip, index, box, crop)
    view.present = False
    return view


def _cut(clip: Clip, index: int, box: Box, crop: Crop) -> View:
    visible = None if clip.visible is None else clip.visible[index]
    thermal = None if clip.thermal is None else clip.thermal[index]
    return cut(visible, thermal, box, crop)
