"""From three views to a sample: fills missing modalities, adds clutter, degrades, flips and changes the light."""

import cv2
import numpy as np

from tpf_training.augmentation.config import AugmentationConfig
from tpf_training.augmentation.misalignment import draw_misalignment, misalign
from tpf_training.augmentation.photometric import brighten, drift_table, to_grey
from tpf_training.augmentation.simulate_thermal import draw_simulation
from tpf_training.augmentation.simulate_visible import draw_visible_simulation
from tpf_training.sampling.clutter import add_clutter
from tpf_training.sampling.faults import Degradation, Silence, draw_degradations, draw_silence
from tpf_training.sampling.sample import Sample
from tpf_training.sampling.sprites import ObjectPool
from tpf_training.sampling.view import View


def finish(
    rng: np.random.Generator,
    views: tuple[View, View, View],
    objects: ObjectPool | None,
    source: str,
    config: AugmentationConfig,
) -> Sample:
    """The augmented sample of `views`. `objects`: what to paste as clutter; None without any."""
    lacking = next((camera for camera in ("visible", "thermal") if getattr(views[0], camera) is None), None)
    simulated = lacking is not None and rng.random() < getattr(config, f"simulate_{lacking}")
    silence = draw_silence(rng, None if simulated else lacking, config)
    degradations = draw_degradations(rng, views, silence, config)
    old = {(d, index): views[index].earlier(d.moment) for d in degradations if d.moment is not None for index in d.hit}
    complete(rng, (*views, *old.values()), simulated)
    for (degradation, index), view in old.items():
        setattr(views[index], degradation.camera, getattr(view, degradation.camera))
    if objects:
        add_clutter(rng, views[2], objects, config.clutter)
    drift(rng, views, config)
    if (lacking is None or simulated) and rng.random() < config.misaligned:
        matrix = draw_misalignment(rng, config.misalignment_pixels, config.misalignment_scale)
        for view in views:
            view.thermal = misalign(view.thermal, matrix)
    degrade(views, degradations)
    if silence:
        stand_in(views, silence)
    for view in views:
        view.blank_padding()
    augment_jointly(rng, views, config)
    box = fractions(views[2]) if views[2].present else None
    return Sample(*((view.visible, view.thermal) for view in views), box, source)


def complete(rng: np.random.Generator, views: tuple[View, ...], simulated: bool) -> None:
    """Give views of a single-modality clip the other one: made up, or the tracker's stand-in for a silent camera."""
    if views[0].thermal is None:
        thermal = draw_simulation(rng) if simulated else lambda visible, box: thermal_stand_in(visible)
        for view in views:
            view.thermal = thermal(view.visible, view.box)
    elif views[0].visible is None:
        visible = draw_visible_simulation(rng) if simulated else visible_stand_in
        for view in views:
            view.visible = visible(view.thermal)


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


def drift(rng: np.random.Generator, views: tuple[View, View, View], config: AugmentationConfig) -> None:
    """Change the exposure of each camera a little from view to view."""
    for view in views:
        if config.visible_drift:
            view.visible = cv2.LUT(view.visible, drift_table(rng, config.visible_drift))
        if config.thermal_drift:
            view.thermal = cv2.LUT(view.thermal, drift_table(rng, config.thermal_drift))


def degrade(views: tuple[View, View, View], degradations: list[Degradation]) -> None:
    """Spoil what the cameras show in the views that are hit."""
    for degradation in degradations:
        if degradation.change:
            for view in (views[index] for index in degradation.hit):
                changed = degradation.change(getattr(view, degradation.camera), view.box)
                setattr(view, degradation.camera, changed)


def stand_in(views: tuple[View, View, View], silence: Silence) -> None:
    """Show the other camera's image, as it is by now, for the silent one."""
    for view in (views[index] for index in silence.hit):
        if silence.camera == "visible":
            view.visible = visible_stand_in(view.thermal)
        else:
            view.thermal = thermal_stand_in(view.visible)


def augment_jointly(rng: np.random.Generator, views: tuple[View, View, View], config: AugmentationConfig) -> None:
    """Flip and grey: one draw for all views. Brightness: one draw per view, the same for both modalities."""
    flip, grey = rng.random() < config.flip, rng.random() < config.grey
    for view in views:
        factor = rng.uniform(1 - config.brightness, 1 + config.brightness)
        view.visible, view.thermal = brighten(view.visible, factor), brighten(view.thermal, factor)
        if grey:
            view.visible = to_grey(view.visible)
        if flip:
            view.visible, view.thermal = cv2.flip(view.visible, 1), cv2.flip(view.thermal, 1)
            x, y, w, h = view.box
            view.box = (view.size - x - w, y, w, h)
