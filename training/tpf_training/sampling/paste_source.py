"""Samples made of objects pasted over real backgrounds: any motion, both modalities aligned, a known box."""

import dataclasses
import math

import numpy as np

from tpf_model.boxes import Box
from tpf_training.augmentation.photometric import drift_table
from tpf_training.datasets.record import DatasetError, Still
from tpf_training.sampling.clip_source import ABSENT_TARGET, SAME_TEMPLATE
from tpf_training.sampling.jitter import DYNAMIC, SEARCH, TEMPLATE, Jitter
from tpf_training.sampling.sprites import Sprite, draw_group, paste, restyle
from tpf_training.sampling.view import View, cut

MOTION = 1.5  # standard deviation of the way from template to search, in target sizes


class PasteSource:
    """Draws a background, which has both modalities, and an object (a group of looks), and moves one over the other."""

    def __init__(self, backgrounds: list[Still], groups: list[list[Sprite]]):
        if not backgrounds or not groups:
            raise DatasetError("source 'pasted' needs backgrounds and objects: read rgbt_video or rgbt_pairs, too")
        self.backgrounds, self.groups = backgrounds, groups

    def views(self, rng: np.random.Generator) -> tuple[View, View, View] | None:
        """Template, dynamic and search view, or None where the draw gave no usable crop."""
        still = self.backgrounds[rng.integers(len(self.backgrounds))]
        group = draw_group(rng, self.groups)
        tables = drift_table(rng), drift_table(rng, 1.5)
        looks = [restyle(sprite, *tables) for sprite in _draw_looks(rng, group)]
        flip = rng.random() < 0.5
        boxes = draw_path(rng, still.thermal.shape, looks)
        shown = True, True, rng.random() >= ABSENT_TARGET
        views = [
            _view(rng, still, look if present else None, box, jitter, flip)
            for look, box, jitter, present in zip(looks, boxes, (TEMPLATE, DYNAMIC, SEARCH), shown)
        ]
        if None in views:
            return None
        if rng.random() < SAME_TEMPLATE:
            views[1] = dataclasses.replace(views[0])
        return tuple(views)


def _draw_looks(rng: np.random.Generator, group: list[Sprite]) -> list[Sprite]:
    """Three looks in the order of time; the same one thrice where the group has only one."""
    return [group[i] for i in np.sort(rng.integers(0, len(group), 3))]


def draw_path(rng: np.random.Generator, shape: tuple[int, int], looks: list[Sprite]) -> list[Box]:
    """Three boxes of a moving target in a background of `shape` (H, W); sizes change, shapes follow the looks."""
    height, width = shape
    size = min(shape) * math.exp(rng.uniform(math.log(0.06), math.log(0.22)))
    position = np.array([rng.uniform(0.15, 0.85) * width, rng.uniform(0.25, 0.8) * height])
    boxes = []
    for look in looks:
        ratio = look.aspect * math.exp(rng.normal(0, 0.06))
        w, h = size / math.sqrt(ratio), size * math.sqrt(ratio)
        x, y = np.clip(position, (w / 2, h / 2), (max(w / 2, width - w / 2), max(h / 2, height - h / 2)))
        boxes.append((float(x - w / 2), float(y - h / 2), w, h))
        position = position + rng.normal(0, MOTION / math.sqrt(2) * size, 2) * (1, 0.5)
        size *= math.exp(rng.normal(0, 0.12))
    return boxes


def _view(
    rng: np.random.Generator, still: Still, sprite: Sprite | None, box: Box, jitter: Jitter, flip: bool
) -> View | None:
    """The background around `box` with `sprite` in it, or without a target."""
    crop = jitter.crop(rng, box)
    if crop is None:
        return None
    view = cut(still.visible, still.thermal, box, crop)
    if sprite is None:
        view.present = False
    else:
        paste(view.visible, view.thermal, sprite, view.box, flip)
    return view
