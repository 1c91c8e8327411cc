"""Bearings against rays projected through the lens by OpenCV's forward models, which undistortion must invert."""

import math

import cv2
import numpy as np
import pytest
from sensor_msgs.msg import CameraInfo

from tpf_ros.bearings import camera_from_info

K = [500.0, 0.0, 320.0, 0.0, 510.0, 256.0, 0.0, 0.0, 1.0]
LENSES = {
    "none": ("", []),
    "plumb_bob": ("plumb_bob", [-0.28, 0.09, 0.001, -0.002, -0.01]),
    "rational": ("rational_polynomial", [0.3, 0.05, 0.0004, 0.0002, 0.001, 0.6, 0.15, 0.01]),
    "equidistant": ("equidistant", [0.02, -0.004, 0.001, -0.0002]),
}


def info(model: str = "", distortion=(), **fields) -> CameraInfo:
    return CameraInfo(width=640, height=512, k=K, d=list(distortion), distortion_model=model, **fields)


def project(points: np.ndarray, lens: str) -> np.ndarray:
    """(N, 2) tangents to (N, 2) pixels, in which a pixel's centre is at +0.5."""
    model, distortion = LENSES[lens]
    matrix, distortion = np.array(K).reshape(3, 3), np.array(distortion or [0.0] * 4)
    rays = np.hstack([points, np.ones((len(points), 1))]).reshape(-1, 1, 3)
    forward = cv2.fisheye.projectPoints if model == "equidistant" else cv2.projectPoints
    pixels, _ = forward(rays, np.zeros(3), np.zeros(3), matrix, distortion)
    return pixels.reshape(-1, 2) + 0.5


@pytest.mark.parametrize("lens", LENSES)
def test_undistortion_inverts_the_lens(lens):
    grid = np.stack(np.meshgrid(np.linspace(-0.55, 0.55, 9), np.linspace(-0.45, 0.45, 9)), axis=-1).reshape(-1, 2)
    camera = camera_from_info(info(*LENSES[lens]))
    np.testing.assert_allclose(camera.tangents(project(grid, lens)), grid, atol=1e-5)


def test_an_object_of_known_size_and_place():
    """2 m wide, 1 m high, 20 m ahead, 4 m right, 3 m up, in a pinhole camera."""
    left_top, right_bottom = project(np.array([[3 / 20, -3.5 / 20], [5 / 20, -2.5 / 20]]), "none")
    bearing = camera_from_info(info()).bearing((*left_top, *(right_bottom - left_top)))
    expected = [4 / 20, -3 / 20, 2 / 20, 1 / 20]
    np.testing.assert_allclose([bearing.x, bearing.y, bearing.width, bearing.height], expected, atol=1e-9)


@pytest.mark.parametrize("lens", LENSES)
def test_binning_and_region_of_interest_see_the_same_bearing(lens):
    full = camera_from_info(info(*LENSES[lens])).bearing((200.0, 160.0, 60.0, 40.0))
    cropped = info(*LENSES[lens], binning_x=2, binning_y=4)
    cropped.roi.x_offset, cropped.roi.y_offset, cropped.roi.width, cropped.roi.height = 100, 80, 400, 320
    camera = camera_from_info(cropped)
    assert camera.size == (200, 80)
    assert camera.bearing((50.0, 20.0, 30.0, 10.0)) == full


@pytest.mark.parametrize("lens", LENSES)
def test_rectified_images_are_those_of_the_projection_matrix(lens):
    P = [450.0, 0.0, 310.0, 0.0, 0.0, 460.0, 250.0, 0.0, 0.0, 0.0, 1.0, 0.0]
    message = info(*LENSES[lens], p=P)
    raw, rectified = camera_from_info(message), camera_from_info(message, rectified=True)
    assert (raw.is_distorted, rectified.is_distorted) == (lens != "none", False)
    assert camera_from_info(info("equidistant")).is_distorted, "a fisheye is no pinhole without coefficients either"
    tangents = rectified.tangents(np.array([[310.5 + 45, 250.5 - 23]]))
    np.testing.assert_allclose(tangents, [[0.1, -0.05]], atol=1e-9)
    with pytest.raises(ValueError, match="P has focal lengths"):
        camera_from_info(info(p=[-450.0, *P[1:]]), rectified=True)
    assert camera_from_info(info(), rectified=True) is None, "P is not given"


def test_an_uncalibrated_camera_has_no_bearings():
    assert camera_from_info(CameraInfo(width=640, height=512)) is None


@pytest.mark.parametrize("lens", LENSES)
def test_what_the_lens_cannot_see_and_nan_boxes_are_nan_not_a_wrong_number(lens):
    camera = camera_from_info(info(*LENSES[lens]))
    assert math.isnan(camera.bearing((math.nan,) * 4).x)
    if lens in ("plumb_bob", "equidistant"):  # this barrel lens folds back at about 800 px from its centre
        far = camera.bearing((3000.0, 240.0, 20.0, 20.0))
        assert all(map(math.isnan, (far.x, far.y, far.width)))


@pytest.mark.parametrize("fields, reason", [
    ({"distortion_model": "kannala"}, "'kannala' is not one of plumb_bob, rational_polynomial, equidistant"),
    ({"distortion_model": "plumb_bob", "d": [0.1] * 3}, "D has 3 numbers, plumb_bob needs 0 or 4 or 5"),
    ({"distortion_model": "equidistant", "d": [math.nan] * 4}, "equidistant needs 0 or 4, finite"),
    ({"k": [-500.0, *K[1:]]}, "focal lengths -500, 510"),
    ({"k": [math.nan, *K[1:]]}, "focal lengths nan"),
])  # fmt: skip
def test_a_calibration_that_cannot_be_used_is_refused_with_the_reason(fields, reason):
    wrong = info()
    for name, value in fields.items():
        setattr(wrong, name, value)
    with pytest.raises(ValueError, match=reason):
        camera_from_info(wrong)
