"""Samples made of objects pasted over real backgrounds: any motion, both modalities aligned, a known box."""

import dataclasses
import math
from functools import partial

import numpy as np

from tpf_model.boxes import Box
from tpf_model.crop import Crop
from tpf_training.augmentation.photometric import drift_table
from tpf_training.datasets.record import DatasetError, Still
from tpf_training.sampling.config import SamplingConfig
from tpf_training.sampling.sprites import ObjectPool, Sprite, paste, restyle
from tpf_training.sampling.view import View, cut


class PasteSource:
    """Draws a background, which has both modalities, and an object (a group of looks), and moves one over the other."""

    def __init__(self, backgrounds: list[Still], objects: ObjectPool, config: SamplingConfig):
        if not backgrounds or not objects.groups:
            raise DatasetError("source 'pasted' needs backgrounds and objects: read rgbt_video or rgbt_pairs, too")
        self.backgrounds, self.objects, self.config = backgrounds, objects, config

    def views(self, rng: np.random.Generator) -> tuple[View, View, View] | None:
        """Template, dynamic and search view, or None where the draw gave no usable crop."""
        config = self.config
        still = self.backgrounds[rng.integers(len(self.backgrounds))]
        group = self.objects.draw(rng, config.tracked)
        tables = drift_table(rng), drift_table(rng, 1.5)
        looks = [restyle(sprite, *tables) for sprite in _draw_looks(rng, group)]
        flip = rng.random() < 0.5
        boxes = draw_path(rng, still.thermal.shape, looks, config.motion)
        shown = True, True, rng.random() >= config.absent_target
        jitters = config.template, config.dynamic, config.search
        crops = [jitter.crop(rng, box) for jitter, box in zip(jitters, boxes)]
        if None in crops:
            return None
        views = [_view(still, looks[i] if shown[i] else None, boxes[i], crops[i], flip) for i in range(3)]
        for view, crop in zip(views[1:], crops[1:]):
            view.earlier = partial(_earlier, still, looks, boxes, crop, flip)
        if rng.random() < config.same_template:
            views[1] = dataclasses.replace(views[0])
        return tuple(views)


def _draw_looks(rng: np.random.Generator, group: list[Sprite]) -> list[Sprite]:
    """Three looks in the order of time; the same one thrice where the group has only one."""
    return [group[i] for i in np.sort(rng.integers(0, len(group), 3))]


def draw_path(rng: np.random.Generator, shape: tuple[int, int], looks: list[Sprite], motion: float) -> list[Box]:
    """Three boxes of a moving target in a background of `shape` (H, W); sizes change, shapes follow the looks.

    motion: standard deviation of the whole way, in target sizes.
    """
    height, width = shape
    size = min(shape) * math.exp(rng.uniform(math.log(0.06), math.log(0.22)))
    position = np.array([rng.uniform(0.15, 0.85) * width, rng.uniform(0.25, 0.8) * height])
    boxes = []
    for look in looks:
        ratio = look.aspect * math.exp(rng.normal(0, 0.06))
        w, h = size / math.sqrt(ratio), size * math.sqrt(ratio)
        x, y = np.clip(position, (w / 2, h / 2), (max(w / 2, width - w / 2), max(h / 2, height - h / 2)))
        boxes.append((float(x - w / 2), float(y - h / 2), w, h))
        position = position + rng.normal(0, motion / math.sqrt(2) * size, 2) * (1, 0.5)
        size *= math.exp(rng.normal(0, 0.12))
    return boxes


def _view(still: Still, sprite: Sprite | None, box: Box, crop: Crop, flip: bool) -> View:
    """`crop` of the background with `sprite` at `box` in it, or without a target."""
    view = cut(still.visible, still.thermal, box, crop)
    if sprite is None:
        view.present = False
    else:
        paste(view.visible, view.thermal, sprite, view.box, flip)
    return view


def _earlier(still: Still, looks: list[Sprite], boxes: list[Box], crop: Crop, flip: bool, moment: float) -> View:
    """`crop` with the object where it was at `moment`, on straight ways between the boxes."""
    start, part = int(moment), moment % 1
    box = tuple(float(v) for v in np.array(boxes[start]) * (1 - part) + np.array(boxes[start + 1]) * part)
    return _view(still, looks[start], box, crop, flip)
