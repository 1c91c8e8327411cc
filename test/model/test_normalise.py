import numpy as np
import pytest
from tpf_model.normalise import ThermalNormaliser


def scene(low=29000, high=31000, shape=(256, 320), seed=0):
    return np.random.default_rng(seed).integers(low, high, shape, dtype=np.uint16)


def test_sixteen_bits_fill_eight_between_the_percentiles():
    image = scene()
    image[0, 0], image[4, 4] = 0, 65535  # a dead and a hot pixel do not set the range
    out = ThermalNormaliser()(image)
    assert out.dtype == np.uint8 and out.shape == image.shape
    low, high = np.percentile(image, (2, 98))
    expected = np.clip((image - low) / (high - low) * 255, 0, 255)
    assert np.abs(out - expected).max() < 3
    assert out[0, 0] == 0 and out[4, 4] == 255


def test_eight_bit_images_pass_unchanged():
    image = scene().astype(np.uint8)
    assert np.array_equal(ThermalNormaliser()(image), image)


def test_a_hot_object_entering_does_not_make_the_rest_flicker():
    normaliser = ThermalNormaliser()
    before = normaliser(scene())
    hot = scene()
    hot[:100, :100] = 40000
    after = normaliser(hot)
    assert np.abs(after[100:].astype(int) - before[100:]).max() < 130
    for _ in range(100):
        after = normaliser(hot)
    assert after[:100, :100].min() == 255 and after[100:].max() < 60  # and it settles on the new range


def test_a_gain_switch_is_followed_at_once():
    normaliser = ThermalNormaliser()
    normaliser(scene(29000, 31000))
    assert normaliser(scene(5000, 5600)).std() > 60


@pytest.mark.parametrize("mode", ["percentile", "full"])
@pytest.mark.parametrize("dtype", [np.uint16, np.float32])
def test_a_flat_image_is_black_and_does_not_spoil_the_range(mode, dtype):
    normaliser = ThermalNormaliser(mode)
    assert not normaliser(np.full((64, 64), 30000, dtype)).any()
    image = scene().astype(dtype)
    expected = normaliser(image)
    normaliser(np.full((64, 64), 30000, dtype))
    assert np.array_equal(normaliser(image), expected)


def test_a_small_target_before_a_uniform_sky_is_seen():
    image = np.full((256, 320), 7000, np.uint16)
    image[101:110, 103:112] = 9000  # far less than the percentiles cut off
    out = ThermalNormaliser()(image)
    assert out[105, 105] == 255 and out[0, 0] == 0


def test_nan_and_infinities_are_ignored():
    image = scene().astype(np.float32) / 100
    clean = ThermalNormaliser()(image)
    dirty = image.copy()
    dirty[0, :4] = np.nan, np.inf, -np.inf, 1e30
    out = ThermalNormaliser()(dirty)
    assert out[0, :4].tolist() == [0, 255, 0, 255]
    assert np.abs(out[1:].astype(int) - clean[1:]).max() <= 1
    assert not ThermalNormaliser()(np.full((8, 8), np.nan, np.float32)).any()


@pytest.mark.parametrize("dtype", [np.uint16, np.float32])
def test_the_zeros_of_a_rectified_image_s_border_do_not_set_the_range(dtype):
    image = scene().astype(dtype)
    inside = ThermalNormaliser()(image)[60:, 60:]
    image[:60], image[:, :60] = 0, 0
    out = ThermalNormaliser()(image)
    assert np.abs(out[60:, 60:].astype(int) - inside).max() <= 2 and not out[:60].any()
    image[60:, 60:] = 30000
    image[100:108, 100:108] = 31000
    out = ThermalNormaliser()(image)
    assert out[104, 104] == 255 and out[200, 200] == 0, "a small target before a uniform sky"


def test_a_scene_of_zeros_and_one_other_value_is_seen():
    image = np.zeros((64, 64), np.uint16)
    image[20:40, 20:40] = 900
    assert ThermalNormaliser()(image)[30, 30] == 255


def test_fixed_limits_saturate_and_are_the_same_for_every_image():
    normaliser = ThermalNormaliser("fixed", limits=(1000, 2000))
    image = np.array([[0, 1000, 1500, 2000, 65535]], np.uint16)
    assert normaliser(image).tolist() == [[0, 0, 128, 255, 255]]
    assert normaliser(image.astype(np.float32)).tolist() == [[0, 0, 128, 255, 255]]


def test_the_full_range_is_each_images_own():
    normaliser = ThermalNormaliser("full")
    assert normaliser(np.array([[10, 20, 30]], np.uint8)).tolist() == [[0, 128, 255]]
    assert normaliser(np.array([[100, 300]], np.uint16)).tolist() == [[0, 255]]


def test_three_equal_channels_are_one():
    image = scene()
    assert np.array_equal(ThermalNormaliser()(np.repeat(image[..., None], 3, axis=2)), ThermalNormaliser()(image))


@pytest.mark.parametrize(
    "arguments, reason",
    [
        ({"mode": "auto"}, "percentile, fixed, full"),
        ({"percentiles": (98, 2)}, "percentiles"),
        ({"mode": "fixed"}, "limits"),
        ({"mode": "fixed", "limits": (5, 5)}, "limits"),
    ],
)
def test_bad_arguments_are_refused_by_name(arguments, reason):
    with pytest.raises(ValueError, match=reason):
        ThermalNormaliser(**arguments)


@pytest.mark.parametrize("image", [np.zeros((4, 4)), np.zeros((4, 4, 2), np.uint8), np.zeros((0, 4), np.uint16)])
def test_what_is_not_a_thermal_image_is_refused(image):
    with pytest.raises(ValueError, match="thermal image"):
        ThermalNormaliser()(image)
