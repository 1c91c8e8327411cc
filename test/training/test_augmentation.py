"""Augmentations: each changes what it should, and nothing else."""

import numpy as np
import pytest

from tpf_model.crop import Crop
from tpf_model.frame import Frame
from tpf_model.pair import crop_pair
from tpf_model.registration import Registration
from tpf_training.augmentation.degradation import FAMILIES
from tpf_training.sampling.finish import augment_jointly, complete, degrade
from tpf_training.sampling.view import View, cut

BOX = (90.0, 70.0, 40.0, 80.0)


def scene(shape):
    """A bright target before a dim, textured background."""
    image = np.random.default_rng(1).integers(30, 80, shape, dtype=np.uint8)
    image[70:150, 90:130] += 120
    return image


def three_views():
    return tuple(View(scene((256, 256, 3)), scene((256, 256)), BOX) for _ in range(3))


@pytest.mark.parametrize("camera, draw", [(camera, draw) for camera, draws in FAMILIES.items() for draw in draws])
def test_every_degradation_changes_the_image_and_keeps_its_form(camera, draw):
    image = scene((256, 256, 3) if camera == "visible" else (256, 256))
    before = image.copy()
    for seed in range(10):
        after = draw(np.random.default_rng(seed))(image, BOX)
        assert after.shape == image.shape and after.dtype == np.uint8
        assert np.abs(after.astype(int) - image).mean() > 1
    np.testing.assert_array_equal(image, before)


def test_crossover_hides_the_target_and_leaves_the_rest():
    image = scene((256, 256))
    crossover = next(draw for draw in FAMILIES["thermal"] if draw.__name__ == "draw_crossover")
    after = crossover(np.random.default_rng(0))(image, BOX)
    contrast = image[100:120, 100:120].mean() - image[:40].mean()
    assert after[100:120, 100:120].mean() - after[:40].mean() < 0.8 * contrast
    np.testing.assert_array_equal(after[:40], image[:40])


def test_cameras_are_degraded_one_by_one_and_together():
    clean = View(scene((256, 256, 3)), scene((256, 256)), BOX)
    seen = []
    for seed in range(150):
        views = three_views()
        degrade(np.random.default_rng(seed), views)
        seen.append(
            (
                any(not np.array_equal(view.visible, clean.visible) for view in views),
                any(not np.array_equal(view.thermal, clean.thermal) for view in views),
            )
        )
    counts = {outcome: seen.count(outcome) for outcome in set(seen)}
    assert counts[False, False] > counts[True, False] > counts[False, True] > counts[True, True] > 0


def test_flip_and_brightness_are_the_same_for_both_cameras():
    flipped = brightened = 0
    for seed in range(40):
        views = three_views()
        for view in views:
            view.visible = np.stack([view.thermal] * 3, axis=-1)
        augment_jointly(np.random.default_rng(seed), views)
        for view in views:
            np.testing.assert_array_equal(view.visible, np.stack([view.thermal] * 3, axis=-1))
        flipped += views[0].box[0] == 256 - BOX[0] - BOX[2]
        brightened += views[0].thermal.mean() > scene((256, 256)).mean()
        assert len({view.box for view in views}) == 1  # one flip for the whole sample
    assert 10 < flipped < 30 and 10 < brightened < 30


@pytest.mark.parametrize("silent", ["visible", "thermal"])
def test_a_silent_camera_is_replaced_as_the_tracker_replaces_it(silent):
    visible = None if silent == "visible" else scene((256, 256, 3))
    thermal = None if silent == "thermal" else scene((256, 256))
    crop = Crop.around((200.0, 60.0, 40.0, 80.0), 4.0, 256)  # reaches out of the image
    expected = crop_pair(Frame(visible, thermal), crop, Registration.identity())
    for seed in range(100):
        views = tuple(cut(visible, thermal, BOX, crop) for _ in range(3))
        if complete(np.random.default_rng(seed), views) == silent:
            break
    for view in views:
        np.testing.assert_array_equal(view.visible, expected[0])
        np.testing.assert_array_equal(view.thermal, expected[1])
