import numpy as np
import pytest
from tpf_model.frame import Frame

VISIBLE = np.zeros((480, 640, 3), np.uint8)
THERMAL = np.zeros((240, 320), np.uint8)


def test_the_size_is_the_visible_images_in_width_and_height():
    assert Frame(VISIBLE, THERMAL).size == (640, 480)
    assert Frame(VISIBLE, THERMAL, size=(1, 1)).size == (640, 480)


def test_without_a_visible_image_the_size_is_the_stated_one():
    assert Frame(None, THERMAL, size=(640, 480)).size == (640, 480)
    assert Frame(None, THERMAL).size == (320, 240)


@pytest.mark.parametrize(
    "visible, thermal, reason",
    [
        (None, None, "both are missing"),
        (VISIBLE[..., 0], THERMAL, "visible image is .* needs .*RGB"),
        (VISIBLE.astype(np.float32), None, "visible image"),
        (VISIBLE[:0], THERMAL, "visible image"),
        (VISIBLE, THERMAL.astype(np.uint16), "thermal image .* uint16"),
        (None, VISIBLE, "thermal image"),
    ],
)
def test_what_is_not_an_image_is_refused_by_name(visible, thermal, reason):
    with pytest.raises(ValueError, match=reason):
        Frame(visible, thermal)
