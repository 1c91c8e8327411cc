"""Samples from one moment: a region of a still is the target, random warps of the still are the frames."""

import dataclasses
import math

import numpy as np

from tpf_model.boxes import Box
from tpf_model.crop import Crop
from tpf_training.datasets.record import Still
from tpf_training.sampling.config import SamplingConfig
from tpf_training.sampling.jitter import Jitter
from tpf_training.sampling.view import View, cut


class StillSource:
    """Draws a still and a region of it, and shows it under three random warps."""

    def __init__(self, stills: list[Still], config: SamplingConfig):
        self.config = config
        self.sets = {}  # stills by the first part of their names: small sets count as much as large ones
        for still in stills:
            self.sets.setdefault(still.name.split("/")[0], []).append(still)

    def views(self, rng: np.random.Generator) -> tuple[View, View, View] | None:
        """Template, dynamic and search view, or None where the draw gave no usable region or crop."""
        config = self.config
        members = list(self.sets.values())[rng.integers(len(self.sets))]
        still = members[rng.integers(len(members))]
        box = draw_region(rng, still, config)
        if box is None:
            return None
        template = self._view(rng, still, box, config.template, strength=0.0)
        same = rng.random() < config.same_template
        dynamic = template if same else self._view(rng, still, box, config.dynamic, config.still_dynamic)
        search = self._view(rng, still, box, config.search, strength=1.0)
        if None in (template, dynamic, search):
            return None
        return template, dataclasses.replace(dynamic), search

    def _view(self, rng: np.random.Generator, still: Still, box: Box, jitter: Jitter, strength: float) -> View | None:
        turn, stretch = self.config.still_turn * strength, self.config.still_stretch * strength
        drawn = draw_warped_crop(rng, box, jitter, turn, stretch)
        return None if drawn is None else cut(still.visible, still.thermal, *drawn)


def draw_region(rng: np.random.Generator, still: Still, config: SamplingConfig) -> Box | None:
    """The region that is the target: an object, or anything with texture; None if the draw found none."""
    if rng.random() < config.object_box:
        if not len(still.boxes):
            return None
        box = loosen(rng, still.boxes[rng.integers(len(still.boxes))])
    else:
        box = random_box(rng, still)
    return None if box is None or math.sqrt(box[2] * box[3]) < config.smallest_target else box


def loosen(rng: np.random.Generator, box: np.ndarray) -> Box:
    """`box` with its edges moved a little, mostly outwards: people box generously, blobs are tight."""
    x, y, w, h = (float(v) for v in box)
    left, top, right, bottom = rng.uniform(-0.03, 0.12, 4)
    return x - left * w, y - top * h, w * (1 + left + right), h * (1 + top + bottom)


def random_box(rng: np.random.Generator, still: Still) -> Box | None:
    """A rectangle, often tall, with texture in it; None if the draw hit a flat region."""
    image = still.visible if still.visible is not None else still.thermal
    height, width = image.shape[:2]
    size = math.exp(rng.uniform(math.log(16), math.log(min(height, width) / 3)))
    ratio = math.exp(rng.normal(0.45, 0.45))  # h / w, median 1.6
    w, h = size / math.sqrt(ratio), size * math.sqrt(ratio)
    if w > width - 2 or h > height - 2:
        return None
    x, y = rng.uniform(0, width - w), rng.uniform(0, height - h)
    patch = image[int(y) : int(y + h), int(x) : int(x + w)]
    return (x, y, w, h) if patch.std() > 30 else None


def random_warp(rng: np.random.Generator, box: Box, turn: float, stretch: float) -> np.ndarray:
    """(3, 3) affine map that turns, stretches and shears the image around the centre of `box`.

    turn: standard deviation of angle and shear; stretch: of the log of both sizes.
    """
    angle, shear = rng.normal(0, turn, 2)
    sx, sy = np.exp(rng.normal(0, stretch, 2))
    cos, sin = math.cos(angle), math.sin(angle)
    linear = np.array([[cos, -sin], [sin, cos]]) @ np.array([[sx, shear], [0, sy]])
    centre = np.array([box[0] + box[2] / 2, box[1] + box[3] / 2])
    warp = np.eye(3)
    warp[:2, :2] = linear
    warp[:2, 2] = centre - linear @ centre
    return warp


def draw_warped_crop(
    rng: np.random.Generator, box: Box, jitter: Jitter, turn: float, stretch: float
) -> tuple[Box, Crop, np.ndarray] | None:
    """`box` under a random warp around it, a crop of the warped image, the warp (3, 3); None if no crop was usable."""
    warp = random_warp(rng, box, turn, stretch)
    x, y, w, h = box
    # Not the bounding box of the turned rectangle: an upright object hardly fills that one's corners.
    scaled = (w * np.linalg.norm(warp[:2, 0]), h * np.linalg.norm(warp[:2, 1]))
    box = (x + w / 2 - scaled[0] / 2, y + h / 2 - scaled[1] / 2, *(float(v) for v in scaled))
    crop = jitter.crop(rng, box)
    return None if crop is None else (box, crop, warp)
