"""Samples from one moment: a region of a still is the target, random warps of the still are the frames."""

import dataclasses
import math

import numpy as np

from tpf_model.boxes import Box
from tpf_training.datasets.record import Still
from tpf_training.sampling.clip_source import SAME_TEMPLATE
from tpf_training.sampling.jitter import DYNAMIC, SEARCH, TEMPLATE, Jitter
from tpf_training.sampling.view import View, cut

SMALLEST = 14.0  # px; a target of fewer has no shape to follow
OBJECT_BOX = 0.9  # how often the target is a region that looks like an object; otherwise a random textured one


class StillSource:
    """Draws a still and a region of it, and shows it under three random warps."""

    def __init__(self, stills: list[Still]):
        self.sets = {}  # stills by the first part of their names: small sets count as much as large ones
        for still in stills:
            self.sets.setdefault(still.name.split("/")[0], []).append(still)

    def views(self, rng: np.random.Generator) -> tuple[View, View, View] | None:
        """Template, dynamic and search view, or None where the draw gave no usable region or crop."""
        members = list(self.sets.values())[rng.integers(len(self.sets))]
        still = members[rng.integers(len(members))]
        if rng.random() < OBJECT_BOX:
            if not len(still.boxes):
                return None
            box = loosen(rng, still.boxes[rng.integers(len(still.boxes))])
        else:
            box = random_box(rng, still)
        if box is None or math.sqrt(box[2] * box[3]) < SMALLEST:
            return None
        template = _view(rng, still, box, TEMPLATE, strength=0.0)
        same = rng.random() < SAME_TEMPLATE
        dynamic = template if same else _view(rng, still, box, DYNAMIC, strength=0.6)
        search = _view(rng, still, box, SEARCH, strength=1.0)
        if None in (template, dynamic, search):
            return None
        return template, dataclasses.replace(dynamic), search


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


def random_warp(rng: np.random.Generator, box: Box, strength: float) -> np.ndarray:
    """(3, 3) affine map that turns, stretches and shears the image around the centre of `box`."""
    angle, shear = rng.normal(0, 0.07 * strength, 2)
    sx, sy = np.exp(rng.normal(0, 0.08 * strength, 2))
    cos, sin = math.cos(angle), math.sin(angle)
    linear = np.array([[cos, -sin], [sin, cos]]) @ np.array([[sx, shear], [0, sy]])
    centre = np.array([box[0] + box[2] / 2, box[1] + box[3] / 2])
    warp = np.eye(3)
    warp[:2, :2] = linear
    warp[:2, 2] = centre - linear @ centre
    return warp


def _view(rng: np.random.Generator, still: Still, box: Box, jitter: Jitter, strength: float) -> View | None:
    warp = random_warp(rng, box, strength)
    x, y, w, h = box
    # Not the bounding box of the turned rectangle: an upright object hardly fills that one's corners.
    scaled = (w * np.linalg.norm(warp[:2, 0]), h * np.linalg.norm(warp[:2, 1]))
    box = (x + w / 2 - scaled[0] / 2, y + h / 2 - scaled[1] / 2, *(float(v) for v in scaled))
    crop = jitter.crop(rng, box)
    return None if crop is None else cut(still.visible, still.thermal, box, crop, warp)
