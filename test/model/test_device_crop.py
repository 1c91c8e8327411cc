"""Crops by the session's device against those of the CPU, for all that a crop can cover."""

import cv2
import numpy as np
import pytest
import torch
from tpf_model.crop import Crop
from tpf_model.decode import hann_window
from tpf_model.frame import Frame
from tpf_model.pair import crop_pair
from tpf_model.registration import Registration
from tpf_model.runtime.device_crop import StagedCrop, covered_part, sample_pair, stage_crop

SIZE = 48
HOMOGRAPHY = Registration.homography([[1.9, 0.12, 6], [-0.1, 2.1, -4], [2e-4, -1e-4, 1]])


def noise(width, height, channels=None, seed=0):
    """Camera-like: noise with the steepest edges softened."""
    shape = (height, width) if channels is None else (height, width, channels)
    return cv2.GaussianBlur(np.random.default_rng(seed).integers(0, 256, shape, np.uint8), (0, 0), 1)


FRAME = Frame(noise(320, 240, 3), noise(160, 120))


def staging(size, cells=0):
    return StagedCrop(size, torch.device("cpu"), cells)


def on_device(staged, frame, crop, registration=Registration.identity()):
    """What the device makes of it, as `crop_pair` returns it, in float."""
    used = stage_crop(staged, frame, crop, registration)
    staged.rows[used:] = 77  # is not transferred
    visible, thermal = sample_pair(staged)
    assert visible.shape == thermal.shape == (1, 3, crop.size, crop.size)
    assert torch.equal(thermal[:, 0], thermal[:, 2])
    return visible[0].permute(1, 2, 0).numpy() * 255, thermal[0, 0].numpy() * 255


def assert_like_the_cpu(frame, crop, registration=Registration.identity(), staged=None):
    ours = on_device(staged or staging(crop.size), frame, crop, registration)
    for one, cpu in zip(ours, crop_pair(frame, crop, registration)):
        difference = np.abs(one - cpu)
        assert difference.max() <= 1.001
        assert difference.mean() < 0.05


@pytest.mark.parametrize(
    "crop",
    [
        Crop.around((150.3, 100.7, 9.2, 7.9), 4.0, SIZE),  # enlarged, at fractions of a pixel
        Crop.around((150, 100, 20, 24), 4.0, SIZE),  # shrunk by less than 2
        Crop.around((100, 50, 70, 75), 2.0, SIZE),  # by 3
        Crop.around((-20.2, -10, 30, 30), 2.0, SIZE),  # partly outside
        Crop.around((290, 220, 60, 50), 4.0, SIZE),  # the same, shrunk
        Crop(-500.5, -500, 1200, SIZE),  # all of the image, and little else to see
        Crop(1000, 1000, 40, SIZE),  # nothing of it
        Crop(319.5, 100, 1, SIZE),  # less than a pixel
    ],
)
@pytest.mark.parametrize("registration", [Registration.identity(), HOMOGRAPHY], ids=["identity", "homography"])
def test_a_crop_is_the_cpu_s_to_a_grey_level(crop, registration):
    assert_like_the_cpu(FRAME, crop, registration)


def test_crops_of_any_place_and_size_fit_the_staging_area():
    rng = np.random.default_rng(1)
    staged = staging(SIZE)
    for _ in range(300):
        width, height = rng.integers(1, 500, 2)
        image = np.zeros((height, width), np.uint8)
        crop = Crop(*rng.uniform(-300, 500, 2), rng.uniform(1, 1000), SIZE)
        shear = np.eye(3) + np.outer((1, 1, 1e-3), (1, 1, 0)) * rng.normal(0, 0.5, (3, 3))
        stage_crop(staged, Frame(None, image), crop, Registration.homography(shear))


@pytest.mark.parametrize("beside", [0.0, 0.3, 0.999])
def test_a_crop_that_ends_just_beside_an_image_that_is_longer(beside):
    tall = Frame(noise(64, 4 * SIZE, 3), None)
    assert_like_the_cpu(tall, Crop(64 + beside, -10, 4 * SIZE, SIZE))
    assert_like_the_cpu(tall, Crop(-4 * SIZE - beside, -10, 4 * SIZE, SIZE))


@pytest.mark.parametrize("missing", ["visible", "thermal"])
def test_a_missing_image_is_replaced_by_the_other_s_luminance(missing):
    one = Frame(None, FRAME.thermal, FRAME.size) if missing == "visible" else Frame(FRAME.visible, None)
    crop = Crop.around((150, 100, 20, 24), 4.0, SIZE)
    assert_like_the_cpu(one, crop)
    assert crop_pair(one, crop, Registration.identity())[1].std() > 5


def test_a_crop_shows_nothing_of_the_one_before():
    staged = staging(SIZE)
    bright = Frame(np.full((240, 320, 3), 255, np.uint8), np.full((240, 320), 255, np.uint8))
    on_device(staged, bright, Crop(50, 50, 90, SIZE))
    for frame, crop in (
        (FRAME, Crop(-20, -20, 40, SIZE)),
        (FRAME, Crop(300, 220, 60, SIZE)),
        (Frame(FRAME.visible, None), Crop(0, 0, 30, SIZE)),
        (bright, Crop(900, 900, 90, SIZE)),
    ):
        assert_like_the_cpu(frame, crop, staged=staged)


def test_a_registration_that_sees_past_its_horizon():
    horizon = Registration.homography([[1, 0, 0], [0, 1, 0], [-0.01, 0, 1]])
    crop = Crop(-2000, -2000, 4000, SIZE)
    assert crop_pair(FRAME, crop, horizon)[1].any()
    assert_like_the_cpu(FRAME, crop, horizon)


def test_images_with_gaps_between_their_rows_and_of_other_orders():
    large = noise(700, 500, 3)
    frame = Frame(large[100:340, 100:420, ::-1], np.asfortranarray(FRAME.thermal))
    assert_like_the_cpu(frame, Crop.around((150, 100, 20, 24), 4.0, SIZE))


def test_the_window_travels_with_the_crop():
    staged = staging(SIZE, 16)
    for window in (hann_window(16, 2), np.ones((16, 16), np.float32)):
        stage_crop(staged, FRAME, Crop(0, 0, 100, SIZE), Registration.identity(), window)
        assert np.array_equal(staged.window.numpy(), window)


def test_only_what_the_crop_covers_is_staged():
    image = noise(1920, 1080, 3)
    part, _ = covered_part(image, Crop.around((900, 500, 40, 50), 4.0, 256).to_image_matrix(), 256)
    assert max(part.shape[:2]) <= 179 + 4  # the crop's side, and what bilinear sampling looks at around it
    part, _ = covered_part(image, Crop.around((300, 200, 500, 500), 4.0, 256).to_image_matrix(), 256)
    assert max(part.shape[:2]) <= 2 * 256
