"""Samples from clips with boxes: z0 < zd < x in time, at most `max_gap` frames apart."""

import dataclasses
from functools import partial

import numpy as np

from tpf_model.boxes import Box
from tpf_model.crop import Crop
from tpf_training.datasets.record import Clip, DatasetError
from tpf_training.sampling.config import SamplingConfig
from tpf_training.sampling.jitter import Jitter
from tpf_training.sampling.view import View, cut


class ClipSource:
    """Draws a clip, all alike, then three frames of it.

    follows: the clips' frames are regions that move with the target, so that one pixel is another place in each.
    """

    def __init__(self, clips: list[Clip], config: SamplingConfig, follows: bool = False):
        self.config, self.follows = config, follows
        self.clips = [clip for clip in clips if len(_starts(clip, config.max_gap))]
        if not self.clips:
            names = ", ".join(clip.name for clip in clips)
            raise DatasetError(f"no three frames within {config.max_gap} in any of {names}")

    def views(self, rng: np.random.Generator) -> tuple[View, View, View] | None:
        """Template, dynamic and search view, or None where the draw gave no usable crop."""
        clip = self.clips[rng.integers(len(self.clips))]
        config = self.config
        frames = first, second, last = draw_frames(rng, clip, config.max_gap)
        same, absent = rng.random() < config.same_template, rng.random() < config.absent_target
        template = self._view(rng, clip, frames, first, config.template)
        dynamic = template if same else self._view(rng, clip, frames, second, config.dynamic)
        if absent:
            search = _absent(rng, clip, last, config.search)
        else:
            search = self._view(rng, clip, frames, last, config.search)
        if None in (template, dynamic, search):
            return None
        return template, dataclasses.replace(dynamic), search

    def _view(
        self, rng: np.random.Generator, clip: Clip, frames: tuple[int, int, int], index: int, jitter: Jitter
    ) -> View | None:
        box = _box(clip, index)
        crop = jitter.crop(rng, box)
        if crop is None:
            return None
        view = _cut(clip, index, box, crop)
        if index > frames[0] and not self.follows:
            view.earlier = partial(_earlier, clip, frames, crop)
        return view


def draw_frames(rng: np.random.Generator, clip: Clip, max_gap: int) -> tuple[int, int, int]:
    """Indices of three frames, in the order of time, within `max_gap` frames of the video."""
    starts = _starts(clip, max_gap)
    first = starts[rng.integers(len(starts))]
    end = np.searchsorted(clip.frames, clip.frames[first] + max_gap, side="right")
    second, last = np.sort(rng.choice(np.arange(first + 1, end), 2, replace=False))
    return int(first), int(second), int(last)


def _starts(clip: Clip, max_gap: int) -> np.ndarray:
    """Indices of the frames that two more follow within `max_gap`."""
    return np.flatnonzero(clip.frames[2:] - clip.frames[:-2] <= max_gap)


def _absent(rng: np.random.Generator, clip: Clip, index: int, jitter: Jitter) -> View | None:
    """A search view of another place in the same frame."""
    frames = clip.visible if clip.visible is not None else clip.thermal
    found = jitter.crop_elsewhere(rng, _box(clip, index), frames.shape[2:0:-1])
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


def _earlier(clip: Clip, frames: tuple[int, int, int], crop: Crop, moment: float) -> View:
    """`crop` of the frame at `moment`, one before the frame of the next whole number."""
    start, end = frames[int(moment)], frames[int(moment) + 1]
    index = start + int(moment % 1 * (end - start))
    return _cut(clip, index, _box(clip, index), crop)


def _box(clip: Clip, index: int) -> Box:
    return tuple(float(v) for v in clip.boxes[index])
