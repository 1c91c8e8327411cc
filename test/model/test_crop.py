"""Crops against a resampler that shares nothing with crop.py: loops over pixels, areas by supersampling."""

import math

import numpy as np
import pytest
from tpf_model.crop import Crop, sample, warp


def value_at(image, x, y):
    """Bilinear value of `image` at continuous (x, y), zero outside; the first pixel's centre is (0.5, 0.5)."""
    height, width = image.shape[:2]
    left, top = math.floor(x - 0.5), math.floor(y - 0.5)
    total = 0.0
    for row, column in ((top, left), (top, left + 1), (top + 1, left), (top + 1, left + 1)):
        if 0 <= row < height and 0 <= column < width:
            weight = (1 - abs(x - 0.5 - column)) * (1 - abs(y - 0.5 - row))
            total = total + weight * image[row, column].astype(float)
    return total


def brute_force(image, crop, image_to_visible=np.eye(3), points=1):
    """The crop, each output pixel the mean of points x points values spread over its area."""
    inverse = np.linalg.inv(image_to_visible)
    out = np.zeros((crop.size, crop.size) + image.shape[2:])
    steps = (np.arange(points) + 0.5) / points
    for row in range(crop.size):
        for column in range(crop.size):
            for dy in steps:
                for dx in steps:
                    x = crop.x + (column + dx) * crop.side / crop.size
                    y = crop.y + (row + dy) * crop.side / crop.size
                    u, v, w = inverse @ (x, y, 1)
                    out[row, column] += value_at(image, u / w, v / w)
    return out / points**2


def smooth_image(width, height, channels=3):
    y, x = np.mgrid[:height, :width]
    waves = [np.sin(x / (9 + 2 * c) + c) * np.cos(y / (11 + c)) for c in range(channels)]
    return np.round(127 + 100 * np.stack(waves, axis=-1)).astype(np.uint8)


def assert_close(ours, reference, tolerance):
    difference = np.abs(ours.astype(float) - reference)
    assert np.mean(difference) < tolerance / 3
    assert difference.max() < tolerance


@pytest.mark.parametrize(
    "box, factor, size, tolerance",
    [
        ((60, 40, 20, 30), 4.0, 48, 4),  # shrunk, less than 2x
        ((70.3, 50.7, 9.2, 7.9), 2.0, 40, 4),  # enlarged, at fractions of a pixel
        ((-10, -5, 30, 30), 2.0, 40, 4),  # partly outside
        ((150, 110, 20, 20), 4.0, 40, 6),  # shrunk by 2, over the far corner
        ((20, 10, 120, 100), 2.0, 32, 10),  # shrunk by 6, larger than the image
    ],
)
def test_a_crop_equals_the_brute_force_resampler(box, factor, size, tolerance):
    image = smooth_image(160, 120)
    crop = Crop.around(box, factor, size)
    points = max(1, int(crop.side / size))
    assert_close(sample(image, crop), brute_force(image, crop, points=points), tolerance)


@pytest.mark.parametrize("shrink", [1, 3])
def test_a_thermal_crop_through_a_homography_equals_the_brute_force_resampler(shrink):
    thermal = smooth_image(100 * shrink, 80 * shrink, channels=1)[..., 0]
    homography = np.array([[1.9, 0.12, 6], [-0.1, 2.1, -4], [2e-4, -1e-4, 1]]) @ np.diag([1 / shrink, 1 / shrink, 1])
    crop = Crop.around((90, 70, 25, 30), 2.0, 50 if shrink == 1 else 24)
    points = 1 if shrink == 1 else 5
    assert_close(sample(thermal, crop, homography), brute_force(thermal, crop, homography, points), tolerance=4)


def test_a_fine_pattern_shrinks_to_its_mean_and_not_to_moire():
    image = (np.indices((256, 256)).sum(axis=0) % 2 * 200).astype(np.uint8)
    inner = sample(image, Crop(0, 0, 256, 64))[2:-2, 2:-2]
    assert inner.min() >= 98 and inner.max() <= 102


def test_outside_the_image_is_zero_also_where_the_crop_is_shrunk():
    image = np.full((50, 50), 255, np.uint8)
    for side in (40, 400):
        assert not sample(image, Crop(100, 100, side, 32)).any()
        assert not sample(image, Crop(-100 - side, -100 - side, side, 32)).any()


def test_a_registration_that_sees_past_its_horizon_gives_zeros_there_and_no_error():
    homography = np.array([[1, 0, 0], [0, 1, 0], [-0.01, 0, 1]])
    image = np.full((100, 90), 255, np.uint8)
    out = sample(image, Crop(-2000, -2000, 4000, 64), homography)
    assert out.any() and not out.all()


def test_an_unmoved_image_is_unchanged_by_warp():
    image = np.random.default_rng(0).integers(0, 255, (37, 53, 3), np.uint8)
    assert np.array_equal(warp(image, np.eye(3), (53, 37)), image)


def test_the_crop_is_a_square_around_the_box_of_the_stated_side():
    crop = Crop.around((100, 50, 30, 20), 4.0, 256)
    assert crop.side == math.ceil(math.sqrt(600) * 4)
    assert crop.x + crop.side / 2 == pytest.approx(115)
    assert crop.y + crop.side / 2 == pytest.approx(60)


def test_boxes_map_into_a_crop_and_back():
    rng = np.random.default_rng(1)
    for _ in range(200):
        box = (*rng.uniform(-50, 600, 2), *rng.uniform(1, 300, 2))
        crop = Crop.around(tuple(rng.uniform(5, 300, 4)), rng.uniform(1, 8), 256)
        assert crop.box_to_image(crop.box_to_crop(box)) == pytest.approx(box, abs=1e-9)


def test_a_mapped_box_encloses_the_same_pixels():
    image = np.zeros((200, 300), np.uint8)
    image[80:120, 140:170] = 255
    crop = Crop.around((130, 70, 50, 60), 3.0, 256)
    bright = sample(image, crop) > 127
    rows, columns = np.flatnonzero(bright.any(axis=1)), np.flatnonzero(bright.any(axis=0))
    x, y, w, h = crop.box_to_crop((140, 80, 30, 40))
    assert (columns[0], columns[-1] + 1) == pytest.approx((x, x + w), abs=1)
    assert (rows[0], rows[-1] + 1) == pytest.approx((y, y + h), abs=1)
