"""From a drawn box to the buffered frame and its visible pixels, by stamp, registration and past search regions."""

import numpy as np
import pytest

from tpf_model.crop import Crop
from tpf_model.frame import Frame
from tpf_model.registration import Registration
from tpf_ros.frame_buffer import FrameBuffer
from tpf_ros.target_requests import (
    BAD_BOX,
    BAD_IMAGE,
    FUSED,
    NO_IMAGE_YET,
    STAMP_TOO_OLD,
    THERMAL,
    VISIBLE,
    Drawn,
    Refused,
    find_target,
)

SECOND = 10**9
IDENTITY = Registration.identity()


@pytest.fixture
def buffer():
    """Three seconds at 2 Hz, 320x240 and 160x120, the thermal clock 0.1 s behind; then visible alone."""
    buffer = FrameBuffer(3 * SECOND)
    visible, thermal = np.zeros((240, 320, 3), np.uint8), np.zeros((120, 160), np.uint8)
    for half in range(20, 26):
        buffer.append(Frame(visible, thermal), half * SECOND // 2, half * SECOND // 2 - SECOND // 10)
    buffer.append(Frame(visible, None), 13 * SECOND, None)
    return buffer


def refused(*arguments):
    with pytest.raises(Refused) as caught:
        find_target(*arguments)
    return caught.value


def test_the_stamp_is_that_of_the_image_drawn_on(buffer):
    box = (10, 10, 20, 20)
    assert find_target(Drawn(box, VISIBLE, 11 * SECOND), buffer, IDENTITY, None)[0].stamp == 11 * SECOND
    seen, mapped = find_target(Drawn(box, THERMAL, 11 * SECOND - SECOND // 10), buffer, IDENTITY, None)
    assert seen.stamp == 11 * SECOND
    assert mapped == pytest.approx((20, 20, 40, 40))
    # An image that was in no pair has its neighbour.
    assert find_target(Drawn(box, VISIBLE, 11 * SECOND + 240_000_000), buffer, IDENTITY, None)[0].stamp == 11 * SECOND
    assert find_target(Drawn(box), buffer, IDENTITY, None)[0].stamp == 13 * SECOND
    assert refused(Drawn(box, VISIBLE, 9 * SECOND), buffer, IDENTITY, None).code == STAMP_TOO_OLD


def test_a_thermal_box_becomes_the_upright_box_around_its_corners(buffer):
    quarter_turn = Registration.homography([[0, -1, 200], [1, 0, 0], [0, 0, 1]])
    stamp = 12 * SECOND - SECOND // 10
    _, box = find_target(Drawn((10, 20, 30, 40), THERMAL, stamp), buffer, quarter_turn, None)
    assert box == pytest.approx((200 - 60, 10, 40, 30))
    away = Registration.homography([[1, 0, 1000], [0, 1, 0], [0, 0, 1]])
    assert refused(Drawn((10, 20, 30, 40), THERMAL, stamp), buffer, away, None).code == BAD_BOX
    unknown = refused(Drawn((10, 20, 30, 40), THERMAL, stamp), buffer, None, None)
    assert unknown.code == BAD_IMAGE and "camera_info" in str(unknown)
    # Everything right of x = 50 is behind the horizon: a corner maps to the other side.
    horizon = Registration.homography([[1, 0, 0], [0, 1, 0], [-0.02, 0, 1]])
    beyond = refused(Drawn((40, 40, 40, 20), THERMAL, stamp), buffer, horizon, None)
    assert beyond.code == BAD_BOX and "horizon" in str(beyond)
    missing = refused(Drawn((10, 20, 30, 40), THERMAL), buffer, IDENTITY, None)
    assert missing.code == BAD_IMAGE and "visible" in str(missing)


def test_a_box_on_the_fused_image_is_in_its_geometry(buffer):
    assert find_target(Drawn((30, 40, 50, 60), FUSED), buffer, IDENTITY, None)[1] == (30, 40, 50, 60)
    regions = [(11 * SECOND, Crop(100, 50, side=64, size=256)), (12 * SECOND, Crop(0, 0, side=128, size=256))]
    seen, box = find_target(Drawn((0, 128, 64, 64), FUSED, 11 * SECOND), buffer, IDENTITY, regions)
    assert seen.stamp == 11 * SECOND and box == (100, 82, 16, 16)
    seen, box = find_target(Drawn((0, 128, 64, 64), FUSED), buffer, IDENTITY, regions)
    assert seen.stamp == 12 * SECOND and box == (0, 64, 32, 32), "the newest that there is a fused image of"
    twice = [*regions[:1], (11 * SECOND, Crop(100, 50, side=128, size=256)), *regions[1:]]
    assert find_target(Drawn((0, 128, 64, 64), FUSED, 11 * SECOND), buffer, IDENTITY, twice)[1] == (100, 114, 32, 32)
    assert refused(Drawn((300, 0, 9, 9), FUSED), buffer, IDENTITY, regions).code == BAD_BOX
    assert refused(Drawn((0, 0, 9, 9), FUSED, 10 * SECOND), buffer, IDENTITY, regions).code == BAD_IMAGE
    assert refused(Drawn((0, 0, 9, 9), FUSED), buffer, IDENTITY, []).code == BAD_IMAGE


@pytest.mark.parametrize("image", [VISIBLE, THERMAL, FUSED])
def test_before_the_first_image_there_is_none_to_draw_on(image):
    assert refused(Drawn((0, 0, 9, 9), image), FrameBuffer(SECOND), IDENTITY, []).code == NO_IMAGE_YET


def test_a_click_by_a_clock_that_is_ahead_means_the_newest_image(buffer):
    ahead = Drawn((10, 10, 20, 20), VISIBLE, 60 * SECOND, clicked=True)
    assert find_target(ahead, buffer, IDENTITY, None)[0].stamp == 13 * SECOND
    assert refused(Drawn((10, 10, 20, 20), VISIBLE, 60 * SECOND), buffer, IDENTITY, None).code == STAMP_TOO_OLD
