"""Augmentations: each setting alone changes what it should, and nothing else."""

import dataclasses

import cv2
import numpy as np
import pytest

from tpf_model.crop import Crop
from tpf_model.frame import Frame
from tpf_model.pair import crop_pair
from tpf_model.registration import Registration
from tpf_training.augmentation.config import (
    THERMAL_FAMILIES,
    VISIBLE_FAMILIES,
    AugmentationConfig,
    ClutterConfig,
    DegradationConfig,
)
from tpf_training.augmentation.degradation import FAMILIES
from tpf_training.sampling.faults import BLIND, Silence, draw_degradations, draw_silence
from tpf_training.sampling.finish import augment_jointly, complete, finish, stand_in, thermal_stand_in, visible_stand_in
from tpf_training.sampling.sprites import ObjectPool, Sprite
from tpf_training.sampling.view import View, cut

BOX = (90.0, 70.0, 40.0, 80.0)
WEIGHTS = {"visible": VISIBLE_FAMILIES, "thermal": THERMAL_FAMILIES}
NAMES = "template", "dynamic", "search"


def scene(shape, left=90):
    """A bright target before a dim, textured background."""
    image = np.random.default_rng(1).integers(30, 80, shape, dtype=np.uint8)
    image[70:150, left : left + 40] += 120
    return image


VISIBLE, THERMAL = scene((256, 256, 3)), cv2.GaussianBlur(scene((256, 256)), (3, 3), 0)
EARLIER_VISIBLE, EARLIER_THERMAL = scene((256, 256, 3), left=20), scene((256, 256), left=20)


def three_views(visible=VISIBLE, thermal=THERMAL):
    views = tuple(View(visible, thermal, BOX) for _ in NAMES)
    for view in views[1:]:
        view.earlier = lambda moment: View(
            None if visible is None else EARLIER_VISIBLE, None if thermal is None else EARLIER_THERMAL, (20, *BOX[1:])
        )
    return views


def finished(seed, config, views=None, objects=None):
    return finish(np.random.default_rng(seed), views or three_views(), objects, "test", config)


def changed(sample):
    """{(crop, camera)} that do not show what `three_views` does."""
    expected = {"visible": VISIBLE, "thermal": THERMAL}
    return {
        (name, camera)
        for name in NAMES
        for camera, image in zip(expected, getattr(sample, name))
        if not np.array_equal(image, expected[camera])
    }


def of_cameras(changes):
    return {camera for _, camera in changes}


def only_family(camera, family):
    others = {camera: dict.fromkeys(WEIGHTS[camera], 0.0) | {family: 1.0}}
    shares = {"both": 0.0, "visible_only": 0.0, "thermal_only": 0.0} | {f"{camera}_only": 1.0}
    return AugmentationConfig.off(degradation=DegradationConfig(**shares, **others))


def test_everything_off_leaves_the_crops_as_they_were_cut():
    for seed in range(5):
        sample = finished(seed, AugmentationConfig.off())
        assert not changed(sample)
        assert np.array(sample.box) * 256 == pytest.approx(BOX)


@pytest.mark.parametrize("camera, family", [(camera, family) for camera in WEIGHTS for family in WEIGHTS[camera]])
def test_each_family_alone_hits_its_camera_in_the_crops_drawn(camera, family):
    config = only_family(camera, family)
    hits = set()
    for seed in range(30):
        sample = finished(seed, config)
        changes = changed(sample)
        assert of_cameras(changes) == {camera}
        hits.add(frozenset(name for name, _ in changes))
        assert np.array(sample.box) * 256 == pytest.approx(BOX)
    if family == "frozen":  # it shows what was, and never before the template
        assert hits == {frozenset({"search"}), frozenset({"dynamic", "search"})}
        shown = sample.search[0] if camera == "visible" else sample.search[1]
        np.testing.assert_array_equal(shown, EARLIER_VISIBLE if camera == "visible" else EARLIER_THERMAL)
    else:
        sets = {"search"}, {"dynamic", "search"}, set(NAMES), {"template", "dynamic"}
        assert hits == {frozenset(names) for names in sets}


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("shape", [(256, 256, 3), (256, 256), (128, 128)])
def test_every_degradation_changes_the_image_and_keeps_its_form(family, shape):
    image = scene((256, 256, *shape[2:]))[: shape[0], : shape[1]].copy()
    before = image.copy()
    for seed in range(5):
        after = FAMILIES[family](np.random.default_rng(seed))(image, BOX)
        assert after.shape == image.shape and after.dtype == np.uint8
        assert np.abs(after.astype(int) - image).mean() > 1
    np.testing.assert_array_equal(image, before)


def test_smoke_covers_both_drifting_smoke_and_even_fog():
    """The veil is bright and hides contrast; among the draws are patchy ones and almost even ones."""
    grey = np.full((256, 256), 30, np.uint8)
    veils = [FAMILIES["smoke"](np.random.default_rng(seed))(grey, BOX) for seed in range(60)]
    assert min(veil.mean() for veil in veils) > 60
    spread = [veil.std() / (veil.mean() - 30) for veil in veils]
    assert min(spread) < 0.1 and max(spread) > 0.3


def test_crossover_hides_the_target_and_leaves_the_rest():
    after = FAMILIES["crossover"](np.random.default_rng(0))(THERMAL, BOX)
    contrast = THERMAL[100:120, 100:120].mean() - THERMAL[:40].mean()
    assert after[100:120, 100:120].mean() - after[:40].mean() < 0.8 * contrast
    np.testing.assert_array_equal(after[:40], THERMAL[:40])


def test_a_camera_is_blind_only_where_the_other_sees():
    config = dataclasses.replace(
        AugmentationConfig(),
        degradation=DegradationConfig(
            both=0.9,
            visible_only=0.05,
            thermal_only=0.05,
            visible=dict.fromkeys(BLIND, 9.0),
            thermal=dict.fromkeys(BLIND, 9.0),
        ),
    )
    views, blinded = three_views(), 0
    for seed in range(200):
        rng = np.random.default_rng(seed)
        silence = draw_silence(rng, None, dataclasses.replace(config, silent=0.5))
        drawn = draw_degradations(rng, views, silence, config)
        blind = {d.camera for d in drawn if d.moment is not None or not d.change(VISIBLE, BOX).any()}
        blinded += len(blind)
        assert len(blind | ({silence.camera} if silence else set())) <= 1
    assert blinded > 50


def test_nothing_freezes_where_no_earlier_image_is_known_or_the_target_is_gone():
    views = three_views()
    views[2].present = False
    assert not changed(finished(0, only_family("thermal", "frozen"), views))
    views = tuple(View(VISIBLE, THERMAL, BOX) for _ in NAMES)
    assert not changed(finished(0, only_family("visible", "frozen"), views))


def test_a_frozen_camera_that_is_made_up_shows_the_earlier_moment_too():
    config = dataclasses.replace(only_family("thermal", "frozen"), simulate_thermal=1.0)
    for seed in range(20):
        frozen, live = (
            finished(seed, c, three_views(thermal=None)) for c in (config, AugmentationConfig.off(simulate_thermal=1.0))
        )
        np.testing.assert_array_equal(frozen.search[0], VISIBLE)
        images = live.search[1], frozen.search[1]
        before, after = (np.abs(np.diff(image[:, 20:60].mean(axis=0))).max() for image in images)
        if after > before + 5:
            return
    pytest.fail("the frozen thermal image never shows the target where it was")


def test_shares_of_degraded_cameras_are_those_of_the_settings():
    settings = DegradationConfig(both=0.2, visible_only=0.3, thermal_only=0.1)
    seen = [of_cameras(changed(finished(seed, AugmentationConfig.off(degradation=settings)))) for seed in range(150)]
    for cameras, share in (({"visible", "thermal"}, 0.2), ({"visible"}, 0.3), ({"thermal"}, 0.1), (set(), 0.4)):
        assert seen.count(cameras) / 150 == pytest.approx(share, abs=0.12)


def test_flip_alone_mirrors_both_cameras_and_the_box():
    sample = finished(0, AugmentationConfig.off(flip=1.0))
    for name in NAMES:
        np.testing.assert_array_equal(getattr(sample, name)[0], VISIBLE[:, ::-1])
        np.testing.assert_array_equal(getattr(sample, name)[1], THERMAL[:, ::-1])
    assert np.array(sample.box) * 256 == pytest.approx((256 - BOX[0] - BOX[2], *BOX[1:]))


def test_grey_alone_takes_the_colour_of_all_visible_crops():
    sample = finished(0, AugmentationConfig.off(grey=1.0))
    assert of_cameras(changed(sample)) == {"visible"}
    assert all((getattr(sample, name)[0] == getattr(sample, name)[0][..., :1]).all() for name in NAMES)


def test_brightness_is_one_draw_for_both_cameras_within_its_range():
    factors = []
    for seed in range(30):
        views = three_views(visible=np.stack([THERMAL] * 3, axis=-1))
        augment_jointly(np.random.default_rng(seed), views, AugmentationConfig.off(brightness=0.2))
        for view in views:
            np.testing.assert_array_equal(view.visible, np.stack([view.thermal] * 3, axis=-1))
            factors.append(view.thermal[:40].mean() / THERMAL[:40].mean())
    assert 0.78 < min(factors) < 0.85 and 1.15 < max(factors) < 1.22


def test_drift_is_each_cameras_own():
    assert of_cameras(changed(finished(0, AugmentationConfig.off(visible_drift=1.0)))) == {"visible"}
    assert of_cameras(changed(finished(0, AugmentationConfig.off(thermal_drift=1.0)))) == {"thermal"}


def test_misalignment_moves_thermal_alone_and_by_as_much_in_every_crop():
    shifts = []
    for seed in range(40):
        sample = finished(seed, AugmentationConfig.off(misaligned=1.0, misalignment_scale=0.0))
        assert of_cameras(changed(sample)) == {"thermal"}
        np.testing.assert_array_equal(sample.template[1], sample.search[1])
        shift, _ = cv2.phaseCorrelate(np.float64(THERMAL), np.float64(sample.search[1]))
        shifts += shift
    assert 2 < np.std(shifts) < 4.5 and np.abs(shifts).max() < 16


@pytest.mark.parametrize("silent", ["visible", "thermal"])
def test_a_silent_camera_is_replaced_as_the_tracker_replaces_it(silent):
    visible = None if silent == "visible" else VISIBLE
    thermal = None if silent == "thermal" else THERMAL
    crop = Crop.around((200.0, 60.0, 40.0, 80.0), 4.0, 256)  # reaches out of the image
    expected = crop_pair(Frame(visible, thermal), crop, Registration.identity())
    views = tuple(cut(visible, thermal, BOX, crop) for _ in range(3))
    complete(np.random.default_rng(0), views, simulated=False)
    for view in views:
        np.testing.assert_array_equal(view.visible, expected[0])
        np.testing.assert_array_equal(view.thermal, expected[1])


def test_silence_alone_shows_the_other_camera_instead():
    silent = set()
    for seed in range(20):
        sample = finished(seed, AugmentationConfig.off(silent=1.0))
        (camera,) = of_cameras(changed(sample))
        silent.add(camera)
        for name, _ in changed(sample):
            visible, thermal = getattr(sample, name)
            if camera == "visible":
                np.testing.assert_array_equal(visible, visible_stand_in(THERMAL))
            else:
                np.testing.assert_array_equal(thermal, thermal_stand_in(VISIBLE))
    assert silent == {"visible", "thermal"}


def test_a_stand_in_shows_what_became_of_the_other_camera():
    views = three_views(visible=np.zeros_like(VISIBLE))
    stand_in(views, Silence("thermal", (2,)))
    assert not views[2].thermal.any() and views[1].thermal.any()


@pytest.mark.parametrize("lacking", ["visible", "thermal"])
def test_a_camera_that_a_clip_lacks_is_silent_or_made_up(lacking):
    views = {"visible": VISIBLE, "thermal": THERMAL} | {lacking: None}
    key = f"simulate_{lacking}"
    position = ("visible", "thermal").index(lacking)
    silent = finished(0, AugmentationConfig.off(), three_views(**views)).search[position]
    simulated = finished(0, AugmentationConfig.off(**{key: 1.0}), three_views(**views)).search[position]
    expected = visible_stand_in(THERMAL) if lacking == "visible" else thermal_stand_in(VISIBLE)
    np.testing.assert_array_equal(silent, expected)
    assert simulated.shape == expected.shape and np.abs(simulated.astype(int) - expected).mean() > 5


@pytest.mark.parametrize(
    "clutter",
    [ClutterConfig(distractors=(0.0, 0.0, 1.0), occluder=0.0), ClutterConfig(distractors=(1.0,), occluder=1.0)],
)
def test_clutter_is_pasted_into_both_cameras_search_crops_alone(clutter):
    alpha = np.full((40, 20), 255, np.uint8)
    objects = ObjectPool([[Sprite(np.full((40, 20, 3), 250, np.uint8), np.full((40, 20), 5, np.uint8), alpha)]])
    pasted = 0
    for seed in range(10):
        views = three_views()
        views[2].visible, views[2].thermal = VISIBLE.copy(), THERMAL.copy()
        changes = changed(finished(seed, AugmentationConfig.off(clutter=clutter), views, objects))
        assert changes <= {("search", "visible"), ("search", "thermal")}
        pasted += len(changes) == 2
    assert pasted >= 8


def test_settings_name_the_key_and_what_is_accepted():
    for make, message in (
        (lambda: AugmentationConfig(flip=1.5), "flip is 1.5; accepted: 0 to 1"),
        (lambda: AugmentationConfig(thermal_drift=-1), "thermal_drift is -1; accepted: 0 to 3"),
        (lambda: AugmentationConfig(when={"serach": 1.0}), "when has an unknown name 'serach'; did you mean 'search'"),
        (lambda: DegradationConfig(visible={"smok": 1.0}), "degradation.visible.*'smok'; did you mean 'smoke'"),
        (lambda: DegradationConfig(visible={"crossover": 1.0}), "degradation.visible.*'crossover'"),
        (lambda: DegradationConfig(thermal={"blur": -1}), "degradation.thermal.blur is -1; accepted: 0 or more"),
        (lambda: DegradationConfig(both=0.6, visible_only=0.6), "both, visible_only and thermal_only add up to 1.35"),
        (lambda: DegradationConfig(visible=dict.fromkeys(VISIBLE_FAMILIES, 0)), "visible has only weights of 0"),
        (lambda: ClutterConfig(distractors=(0.5, 0.4)), "distractors add up to 0.9; accepted: 1"),
        (lambda: ClutterConfig(lookalikes=0), "lookalikes is 0; accepted: a whole number of 1 or more"),
    ):
        with pytest.raises(ValueError, match=message):
            make()


def test_settings_survive_a_round_trip_through_plain_values():
    config = AugmentationConfig(flip=0.1, degradation=DegradationConfig(visible={"smoke": 0.0}))
    values = dataclasses.asdict(config)
    nested = {"degradation": DegradationConfig(**values["degradation"]), "clutter": ClutterConfig(**values["clutter"])}
    assert AugmentationConfig(**values | nested) == config
    assert config.degradation.visible == VISIBLE_FAMILIES | {"smoke": 0.0}  # the others keep their weights
