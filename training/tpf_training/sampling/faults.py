"""Which camera of a sample is silent or degraded, in which of its three crops, and by what."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from tpf_training.augmentation.config import AugmentationConfig
from tpf_training.augmentation.degradation import FAMILIES
from tpf_training.sampling.view import View
from tpf_training.weighted import pick

# Indices of template, dynamic template and search view, by the names of `AugmentationConfig.when`.
HIT = {"search": (2,), "dynamic_search": (1, 2), "all": (0, 1, 2), "templates": (0, 1)}
# A camera that fails in one of these ways tells nothing of the moment: the other one has to.
BLIND = ("blackout", "frozen")


@dataclass(frozen=True)
class Silence:
    """`camera` ("visible" or "thermal") sends nothing for the views of indices `hit`."""

    camera: str
    hit: tuple[int, ...]


@dataclass(frozen=True)
class Degradation:
    """`camera` is changed in the views of indices `hit`.

    change: does it to an image, given the target's box in it. moment: when a frozen camera stopped, see
    `View.earlier`. One of the two is None.
    """

    camera: str
    hit: tuple[int, ...]
    change: Callable | None = None
    moment: float | None = None


def draw_silence(rng: np.random.Generator, lacking: str | None, config: AugmentationConfig) -> Silence | None:
    """The camera that is silent: throughout the one that is `lacking`, else now and then one of the two, or None."""
    if lacking:
        return Silence(lacking, HIT["all"])
    if rng.random() >= config.silent:
        return None
    hit = HIT[pick(rng, config.when)]
    return Silence("visible" if rng.random() < 0.5 else "thermal", hit)


def draw_degradations(
    rng: np.random.Generator, views: tuple[View, View, View], silence: Silence | None, config: AugmentationConfig
) -> list[Degradation]:
    """What happens to the cameras of `views`: nothing, or one thing for each camera that is drawn.

    One camera at most is blind: a sample that shows the target to neither teaches nothing.
    """
    settings = config.degradation
    shares = {
        ("visible", "thermal"): settings.both,
        ("visible",): settings.visible_only,
        ("thermal",): settings.thermal_only,
        (): settings.clean,
    }
    blind = {silence.camera} if silence else set()
    drawn = []
    for camera in pick(rng, shares):
        weights = dict(getattr(settings, camera))
        if blind - {camera}:
            weights |= dict.fromkeys(BLIND, 0.0)
        # An old image with the target in it, over a moment without it, would look like a target that one camera sees.
        if views[2].earlier is None or not views[2].present:
            weights["frozen"] = 0.0
        if not any(weights.values()):
            continue
        family = pick(rng, weights)
        if family in BLIND:
            blind.add(camera)
        drawn.append(_frozen(rng, camera, views) if family == "frozen" else _changed(rng, camera, family, config))
    return drawn


def _changed(rng: np.random.Generator, camera: str, family: str, config: AugmentationConfig) -> Degradation:
    change = FAMILIES[family](rng)
    return Degradation(camera, HIT[pick(rng, config.when)], change)


def _frozen(rng: np.random.Generator, camera: str, views: tuple[View, View, View]) -> Degradation:
    """The camera stopped at some moment after the template, and so hits every later view."""
    moment = rng.uniform(0, 2)
    dynamic = moment < 1 and views[1].earlier is not None
    return Degradation(camera, (1, 2) if dynamic else (2,), moment=moment)
