"""Samples from clips with boxes: z0 < zd < x in time, at most 200 frames apart."""

import numpy as np

from tpf_training.datasets.record import Clip
from tpf_training.sampling.jitter import DYNAMIC, SEARCH, TEMPLATE
from tpf_training.sampling.view import View, cut

MAX_GAP = 200  # frames between the first and the search frame
SAME_TEMPLATE = 0.3  # how often the dynamic template still is the first one, as in a track's first frames


class ClipSource:
    """Draws a clip, then three frames of it. `weights`: how likely each clip is; None = all alike."""

    def __init__(self, name: str, clips: list[Clip], weights: np.ndarray | None = None):
        self.name, self.clips = name, [clip for clip in clips if clip.valid.sum() >= 3]
        self.weights = None if weights is None else np.asarray(weights) / np.sum(weights)

    def views(self, rng: np.random.Generator) -> tuple[View, View, View] | None:
        """Template, dynamic and search view, or None where the draw gave no usable crop."""
        clip = self.clips[rng.choice(len(self.clips), p=self.weights)]
        first, second, last = draw_frames(rng, clip)
        dynamic = (first, TEMPLATE) if rng.random() < SAME_TEMPLATE else (second, DYNAMIC)
        views = [_view(rng, clip, *choice) for choice in ((first, TEMPLATE), dynamic, (last, SEARCH))]
        return None if None in views else tuple(views)


def draw_frames(rng: np.random.Generator, clip: Clip) -> tuple[int, int, int]:
    """Indices of three frames with a target, in the order of time, within MAX_GAP frames of the video."""
    valid = np.flatnonzero(clip.valid)
    first = valid[rng.integers(0, len(valid) - 2)]
    later = valid[(valid > first) & (clip.frames[valid] <= clip.frames[first] + MAX_GAP)]
    if len(later) < 2:
        later = valid[valid > first][:2]
    second, last = np.sort(rng.choice(later, 2, replace=False))
    return int(first), int(second), int(last)


def _view(rng: np.random.Generator, clip: Clip, index: int, jitter) -> View | None:
    box = tuple(float(v) for v in clip.boxes[index])
    crop = jitter.crop(rng, box)
    if crop is None:
        return None
    visible = None if clip.visible is None else clip.visible[index]
    thermal = None if clip.thermal is None else clip.thermal[index]
    return cut(visible, thermal, box, crop)
