import numpy as np
import pytest
from tpf_model.registration import Registration

K_VISIBLE = [800, 0, 320, 0, 800, 256, 0, 0, 1]
K_THERMAL = [400, 0, 160, 0, 400, 128, 0, 0, 1]


def apply(matrix, x, y):
    u, v, w = matrix @ (x, y, 1)
    return u / w, v / w


def test_identity_maps_corners_to_corners_at_any_sizes():
    matrix = Registration.identity().matrix((320, 256), (640, 480))
    assert apply(matrix, 0, 0) == (0, 0)
    assert apply(matrix, 320, 256) == (640, 480)


def test_a_homography_is_used_as_it_is_given_up_to_its_scale():
    numbers = [2, 0.1, 5, 0, 2.1, -3, 1e-4, 0, 1]
    matrix = Registration.homography([4 * n for n in numbers]).matrix((320, 256), (640, 480))
    assert np.allclose(matrix, np.reshape(numbers, (3, 3)))


def test_the_extent_shows_all_of_the_thermal_image():
    assert Registration.identity().extent((320, 256)) == (320, 256)
    assert Registration.homography([2, 0, 60, 0, 2, -60, 0, 0, 1]).extent((320, 256)) == (700, 452)
    assert Registration.homography([1, 0, -900, 0, 1, 0, 0, 0, 1]).extent((320, 256)) == (1, 256), "nothing is in it"
    beyond_the_horizon = Registration.homography([1, 0, 0, 0, 1, 0, 0, -0.01, 1])
    assert beyond_the_horizon.extent((320, 256)) == (320, 256)


def test_the_plane_registration_is_the_projection_of_points_on_it():
    angle = np.radians(3)
    R = [[np.cos(angle), 0, np.sin(angle)], [0, 1, 0], [-np.sin(angle), 0, np.cos(angle)]]
    t = [0.1, -0.02, 0.01]
    matrix = Registration.plane(K_VISIBLE, K_THERMAL, R, t, distance=7.5).matrix((320, 256), (640, 512))
    for X, Y in ((0, 0), (1.5, -1), (-2, 2)):
        thermal = np.reshape(K_THERMAL, (3, 3)) @ (X, Y, 7.5) / 7.5
        visible = np.reshape(K_VISIBLE, (3, 3)) @ (np.array(R) @ (X, Y, 7.5) + t)
        visible /= visible[2]
        # CameraInfo puts a pixel's centre at a whole number, boxes put it at a half.
        assert apply(matrix, *(thermal[:2] + 0.5)) == pytest.approx(visible[:2] + 0.5)


@pytest.mark.parametrize(
    "matrix, reason",
    [
        ([1, 2, 3], "3 x 3"),
        ([1, 0, 0, 0, 1, 0, 0, 0, np.nan], "not finite"),
        (np.ones(9), "cannot be inverted"),
        (np.zeros(9), "infinity"),
        ([1, 0, 0, 0, 0, 0, 0, 0, 1], "cannot be inverted"),
    ],
)
def test_a_bad_homography_is_refused_with_the_reason(matrix, reason):
    with pytest.raises(ValueError, match=reason):
        Registration.homography(matrix)


@pytest.mark.parametrize(
    "change, reason",
    [
        ({"K_thermal": np.zeros(9)}, "thermal camera matrix"),
        ({"K_visible": [1]}, "visible camera matrix"),
        ({"R": np.ones(9)}, "rotation"),
        ({"R": -np.eye(3)}, "rotation"),
        ({"t": [1, 2]}, "translation"),
        ({"distance": 0}, "distance"),
        ({"distance": np.inf}, "distance"),
    ],
)
def test_bad_calibration_is_refused_by_name(change, reason):
    good = {"K_visible": K_VISIBLE, "K_thermal": K_THERMAL, "R": np.eye(3), "t": [0, 0, 0], "distance": 5}
    with pytest.raises(ValueError, match=reason):
        Registration.plane(**{**good, **change})
