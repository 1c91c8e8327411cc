"""Other objects in the search crop: distractors beside the target, occluders in front of it."""

import math

import numpy as np

from tpf_model.boxes import Box, iou
from tpf_training.augmentation.config import ClutterConfig
from tpf_training.augmentation.photometric import drift_table
from tpf_training.sampling.sprites import ObjectPool, Sprite, paste, restyle
from tpf_training.sampling.view import View


def add_clutter(rng: np.random.Generator, view: View, objects: ObjectPool, config: ClutterConfig) -> None:
    """Paste distractors and perhaps an occluder of `objects` into `view`, which has both modalities, in place."""
    for _ in range(rng.choice(len(config.distractors), p=config.distractors)):
        sprite = _lookalike(rng, view.box, objects, config)
        box = _beside(rng, view, sprite.aspect)
        if box is not None:
            _paste(rng, view, sprite, box)
    if rng.random() < config.occluder:
        sprite = _draw(rng, objects, config.tracked)
        box = _in_front(rng, view.box, sprite.aspect)
        _paste(rng, view, sprite, box)


def _paste(rng: np.random.Generator, view: View, sprite: Sprite, box: Box) -> None:
    sprite = restyle(sprite, drift_table(rng), drift_table(rng, 1.5))
    paste(view.visible, view.thermal, sprite, box, rng.random() < 0.5)


def _draw(rng: np.random.Generator, objects: ObjectPool, tracked: float) -> Sprite:
    looks = objects.draw(rng, tracked)
    return looks[rng.integers(len(looks))]


def _lookalike(rng: np.random.Generator, box: Box, objects: ObjectPool, config: ClutterConfig) -> Sprite:
    """What a tracker mistakes for a person is another person, not a car."""
    aspect = box[3] / box[2]
    sprites = [_draw(rng, objects, config.tracked) for _ in range(config.lookalikes)]
    return min(sprites, key=lambda sprite: abs(math.log(sprite.aspect / aspect)))


def _beside(rng: np.random.Generator, view: View, aspect: float, attempts: int = 5) -> Box | None:
    """A box of about the target's size that hardly touches it."""
    size = math.sqrt(view.box[2] * view.box[3]) * math.exp(rng.normal(0, 0.3))
    w, h = size / math.sqrt(aspect), size * math.sqrt(aspect)
    for _ in range(attempts):
        x, y = rng.uniform(-w / 2, view.size - w / 2), rng.uniform(-h / 2, view.size - h / 2)
        if iou((x, y, w, h), view.box) < 0.03:
            return x, y, w, h
    return None


def _in_front(rng: np.random.Generator, box: Box, aspect: float) -> Box:
    """A box that hides 15-50 % of the target from one side."""
    x, y, w, h = box
    height = h * rng.uniform(0.8, 1.3)
    width = min(height / aspect, 1.5 * w)
    hidden = rng.uniform(0.15, 0.5) * w
    left = x + hidden - width if rng.random() < 0.5 else x + w - hidden
    return left, y + (h - height) / 2 + rng.normal(0, 0.1) * h, width, height
