"""From three views to a sample: fills missing modalities, adds clutter, degrades, flips and changes the light."""

import cv2
import numpy as np

from tpf_training.augmentation.degradation import draw_degradation
from tpf_training.augmentation.misalignment import draw_misalignment, misalign
from tpf_training.augmentation.photometric import FLIP, GREY, brightness_table, drift_table, to_grey
from tpf_training.augmentation.simulate_thermal import draw_simulation
from tpf_training.augmentation.simulate_visible import draw_visible_simulation
from tpf_training.sampling.clutter import add_clutter
from tpf_training.sampling.sample import Sample
from tpf_training.sampling.sprites import Sprite
from tpf_training.sampling.view import View
from tpf_training.weighted import pick

SIMULATE_THERMAL, SIMULATE_VISIBLE = 0.75, 0.4  # for clips without it; otherwise it is absent
ABSENT = 0.1  # one of the two cameras is silent
DEGRADED = {("visible", "thermal"): 0.04, ("visible",): 0.28, ("thermal",): 0.15, (): 0.53}
MISALIGNED = 0.5
# Which of template, dynamic, search a degradation or absence hits, and how often.
WHEN = {(2,): 0.4, (1, 2): 0.15, (0, 1, 2): 0.35, (0, 1): 0.1}


def finish(rng: np.random.Generator, views: tuple[View, View, View], groups: list[list[Sprite]], source: str) -> Sample:
    """The augmented sample of `views`. `groups`: objects to paste as clutter."""
    absent = complete(rng, views)
    add_clutter(rng, views[2], groups)
    _drift(rng, views)
    if absent is None and rng.random() < MISALIGNED:
        matrix = draw_misalignment(rng)
        for view in views:
            view.thermal = misalign(view.thermal, matrix)
    degrade(rng, views)
    _stand_in(rng, views, absent)
    for view in views:
        view.blank_padding()
    augment_jointly(rng, views)
    pairs = [(np.ascontiguousarray(view.visible), np.ascontiguousarray(view.thermal)) for view in views]
    return Sample(*pairs, fractions(views[2]) if views[2].present else None, source)


def complete(rng: np.random.Generator, views: tuple[View, View, View]) -> str | None:
    """Give views of a single-modality clip the other one: simulated, or the tracker's stand-in for a silent camera.

    Returns "visible" or "thermal" where that camera is silent, None where both show something of their own.
    """
    if views[0].thermal is None:
        simulate = draw_simulation(rng) if rng.random() < SIMULATE_THERMAL else None
        for view in views:
            view.thermal = simulate(view.visible, view.box) if simulate else thermal_stand_in(view.visible)
        return None if simulate else "thermal"
    if views[0].visible is None:
        simulate = draw_visible_simulation(rng) if rng.random() < SIMULATE_VISIBLE else None
        for view in views:
            view.visible = simulate(view.thermal) if simulate else visible_stand_in(view.thermal)
        return None if simulate else "visible"
    return None


def thermal_stand_in(visible: np.ndarray) -> np.ndarray:
    """What the tracker feeds as thermal while that camera is silent: the visible image's luminance."""
    return cv2.cvtColor(visible, cv2.COLOR_RGB2GRAY)


def visible_stand_in(thermal: np.ndarray) -> np.ndarray:
    """What the tracker feeds as visible while that camera is silent: the thermal image in grey."""
    return cv2.cvtColor(thermal, cv2.COLOR_GRAY2RGB)


def fractions(view: View) -> tuple[float, float, float, float]:
    """The view's box clipped to the crop, in fractions of it."""
    x, y, w, h = (value / view.size for value in view.box)
    left, top, right, bottom = max(0.0, x), max(0.0, y), min(1.0, x + w), min(1.0, y + h)
    return left, top, right - left, bottom - top


def _drift(rng: np.random.Generator, views: tuple[View, View, View]) -> None:
    for view in views:
        view.visible = cv2.LUT(view.visible, drift_table(rng, 0.7))
        view.thermal = cv2.LUT(view.thermal, drift_table(rng))


def degrade(rng: np.random.Generator, views: tuple[View, View, View]) -> None:
    """Spoil what the drawn cameras show, each in its own way, in some of the views."""
    for camera in pick(rng, DEGRADED):
        change = draw_degradation(rng, camera)
        for index in pick(rng, WHEN):
            view = views[index]
            setattr(view, camera, change(getattr(view, camera), view.box))


def _stand_in(rng: np.random.Generator, views: tuple[View, View, View], absent: str | None) -> None:
    """Show the other camera's image for a silent one: throughout where the clip lacks it, else now and then."""
    if absent is None and rng.random() >= ABSENT:
        return
    hit = pick(rng, WHEN) if absent is None else (0, 1, 2)
    absent = absent or ("visible" if rng.random() < 0.5 else "thermal")
    for index in hit:
        view = views[index]
        if absent == "visible":
            view.visible = visible_stand_in(view.thermal)
        else:
            view.thermal = thermal_stand_in(view.visible)


def augment_jointly(rng: np.random.Generator, views: tuple[View, View, View]) -> None:
    """Flip and grey: one draw for all views. Brightness: one draw per view, the same for both modalities."""
    flip, grey = rng.random() < FLIP, rng.random() < GREY
    for view in views:
        table = brightness_table(rng)
        view.visible, view.thermal = cv2.LUT(view.visible, table), cv2.LUT(view.thermal, table)
        if grey:
            view.visible = to_grey(view.visible)
        if flip:
            view.visible, view.thermal = view.visible[:, ::-1], view.thermal[:, ::-1]
            x, y, w, h = view.box
            view.box = (view.size - x - w, y, w, h)
