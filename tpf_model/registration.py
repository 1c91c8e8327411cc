"""Where a thermal pixel lies in the visible image.

Coordinates are continuous, as boxes are: an image's top-left corner is (0, 0), its first pixel's centre (0.5, 0.5).
"""

from dataclasses import dataclass

import numpy as np

from tpf_model.crop import bounds

Size = tuple[int, int]  # width, height in pixels


@dataclass(frozen=True, eq=False)
class Registration:
    """Build one with `identity`, `homography` or `plane`; `matrix` then maps thermal to visible coordinates."""

    _matrix: np.ndarray | None = None  # (3, 3), None: the same field of view, at whatever sizes

    @classmethod
    def identity(cls) -> "Registration":
        """Both images show the same field of view; the thermal one is scaled to the visible one's size."""
        return cls()

    @classmethod
    def homography(cls, matrix) -> "Registration":
        """matrix: (3, 3), or 9 numbers row by row, from thermal to visible pixels; ValueError if it is not usable."""
        values = np.asarray(matrix, dtype=float)
        if values.size != 9:
            raise ValueError(f"homography needs 3 x 3 numbers, got {values.size}")
        values = values.reshape(3, 3)
        if not np.isfinite(values).all():
            raise ValueError("homography has a number that is not finite")
        if values[2, 2] == 0:
            raise ValueError("homography sends the thermal image's corner to infinity: its last number is 0")
        values = values / values[2, 2]
        # In numbers of order 1 (pixels in units of 1000), so that the test does not depend on the images' sizes.
        scale = np.diag([1e-3, 1e-3, 1])
        if abs(np.linalg.det(scale @ values @ np.linalg.inv(scale))) < 1e-9:
            raise ValueError("homography cannot be inverted")
        return cls(values)

    @classmethod
    def plane(cls, K_visible, K_thermal, R, t, distance: float) -> "Registration":
        """From calibration: exact for things at `distance` metres in front of the thermal camera.

        K_visible, K_thermal: (3, 3) camera matrices as in CameraInfo.k (pixel centres at whole numbers), lenses
        undistorted; R (3, 3) and t (3,), metres: a point X of the thermal camera's frame is R X + t in the visible
        one's, both optical frames (z forward). ValueError names what is not usable.
        """
        K_visible, K_thermal = _camera_matrix("visible", K_visible), _camera_matrix("thermal", K_thermal)
        R, t = _numbers("rotation", R, (3, 3)), _numbers("translation", t, (3,))
        if not np.allclose(R @ R.T, np.eye(3), atol=1e-3) or np.linalg.det(R) < 0:
            raise ValueError("rotation is not a rotation matrix: orthogonal rows of length 1, determinant 1")
        if not (np.isfinite(distance) and distance > 0):
            raise ValueError(f"plane distance is {distance} m, must be > 0")
        normal = np.array([0, 0, 1])
        at_distance = R + np.outer(t, normal) / distance
        to_corner = np.array([[1, 0, 0.5], [0, 1, 0.5], [0, 0, 1]])
        return cls.homography(to_corner @ K_visible @ at_distance @ np.linalg.inv(to_corner @ K_thermal))

    def matrix(self, thermal_size: Size, visible_size: Size) -> np.ndarray:
        """(3, 3) matrix from thermal to visible coordinates, for images of these (width, height)."""
        if self._matrix is not None:
            return self._matrix
        return np.diag([visible_size[0] / thermal_size[0], visible_size[1] / thermal_size[1], 1.0])

    def extent(self, thermal_size: Size) -> Size:
        """(width, height) of a visible image that reaches as far to the right and down as the thermal one does."""
        covered = None if self._matrix is None else bounds(self._matrix, thermal_size)
        return thermal_size if covered is None else tuple(max(1, round(edge)) for edge in covered[1].tolist())


def _numbers(name: str, values, shape: tuple[int, ...]) -> np.ndarray:
    array = np.asarray(values, dtype=float)
    if array.size != np.prod(shape) or not np.isfinite(array).all():
        raise ValueError(f"{name} needs {np.prod(shape)} finite numbers, got {array.ravel().tolist()}")
    return array.reshape(shape)


def _camera_matrix(name: str, values) -> np.ndarray:
    matrix = _numbers(f"{name} camera matrix", values, (3, 3))
    if matrix[0, 0] <= 0 or matrix[1, 1] <= 0:
        focal = f"{matrix[0, 0]:g}, {matrix[1, 1]:g}"
        raise ValueError(f"{name} camera matrix has focal lengths {focal}, both must be > 0: is it calibrated?")
    return matrix
