"""Where a box lies in the camera's view: tangents, from a sensor_msgs/CameraInfo.

Tangents are coordinates on the plane z = 1 of the camera's optical frame (x right, y down, z forward), lens distortion
removed: (x, y, 1) points at the box's centre, and an object of width W facing the camera at depth Z is W / Z wide.
"""

import math
from dataclasses import dataclass

import cv2
import numpy as np

from tpf_model.boxes import Box

_FISHEYE = ("equidistant", "fisheye")
_COEFFICIENTS = {
    "plumb_bob": (0, 4, 5),
    "rational_polynomial": (0, 8, 12, 14),
    "equidistant": (0, 4),
    "fisheye": (0, 4),
}
_PIXEL_TOLERANCE = 0.1  # px; an undistorted point must project back to where it came from


@dataclass(frozen=True)
class Bearing:
    """Centre and size of a box as tangents; NaN where unknown."""

    x: float = math.nan
    y: float = math.nan
    width: float = math.nan
    height: float = math.nan


UNKNOWN = Bearing()


@dataclass(frozen=True)
class Camera:
    """A calibrated camera. Make it with `camera_from_info`.

    matrix: (3, 3) of the full-resolution image. distortion: coefficients of `model` in OpenCV's order. binning and
    offset: full-resolution pixels per image pixel, and the image's top-left corner in them, (x, y).
    size: (width, height) of the images that the calibration is for.
    """

    matrix: np.ndarray
    distortion: np.ndarray
    model: str
    binning: tuple[int, int]
    offset: tuple[int, int]
    size: tuple[int, int]

    @property
    def is_distorted(self) -> bool:
        """Whether its lens bends straight lines, as every fisheye does."""
        return self.model in _FISHEYE or bool(self.distortion.any())

    @property
    def image_matrix(self) -> np.ndarray:
        """(3, 3) camera matrix of the images as they are received: binning and region of interest applied."""
        to_corner = np.array([[1, 0, 0.5], [0, 1, 0.5], [0, 0, 1]])
        (binning_x, binning_y), (x, y) = self.binning, self.offset
        to_image = np.array([[1 / binning_x, 0, -x / binning_x], [0, 1 / binning_y, -y / binning_y], [0, 0, 1]])
        return np.linalg.inv(to_corner) @ to_image @ to_corner @ self.matrix

    def bearing(self, box: Box) -> Bearing:
        """Tangents of `box` (image pixels, continuous). NaN where the lens model does not reach, as at 90 degrees."""
        x, y, w, h = box
        centre_x, centre_y = x + w / 2, y + h / 2
        points = [(centre_x, centre_y), (x, centre_y), (x + w, centre_y), (centre_x, y), (centre_x, y + h)]
        centre, left, right, top, bottom = self.tangents(np.array(points))
        numbers = (centre[0], centre[1], right[0] - left[0], bottom[1] - top[1])
        return Bearing(*(float(number) for number in numbers))

    def tangents(self, points: np.ndarray) -> np.ndarray:
        """(N, 2) image pixels (continuous: a pixel's centre is at +0.5) to (N, 2) tangents; NaN where there is none."""
        pixels = (np.asarray(points, dtype=float) * self.binning + self.offset - 0.5).reshape(-1, 1, 2)
        finite = np.isfinite(pixels).all(axis=2, keepdims=True)
        pixels = np.where(finite, pixels, 0.0)
        if self.model in _FISHEYE:
            tangents = cv2.fisheye.undistortPoints(pixels, self.matrix, self.distortion)
            back = cv2.fisheye.distortPoints(tangents, self.matrix, self.distortion)
        else:
            criteria = (cv2.TERM_CRITERIA_COUNT | cv2.TERM_CRITERIA_EPS, 50, 1e-9)
            tangents = cv2.undistortPointsIter(pixels, self.matrix, self.distortion, None, None, criteria)
            rays = cv2.convertPointsToHomogeneous(tangents)
            back, _ = cv2.projectPoints(rays, np.zeros(3), np.zeros(3), self.matrix, self.distortion)
        # Undistortion is iterative: beyond the calibrated field it may settle anywhere.
        good = finite & (np.linalg.norm(back - pixels, axis=2, keepdims=True) < _PIXEL_TOLERANCE)
        return np.where(good, tangents, np.nan).reshape(-1, 2)


def camera_from_info(info, rectified: bool = False) -> Camera | None:
    """The camera of a sensor_msgs/CameraInfo; None where it is not calibrated (its matrix all zero); else ValueError.

    rectified: whether the images are, so that they are those of a pinhole camera with the matrix in P.
    """
    if rectified:
        name, matrix, distortion, model = "P", np.reshape(info.p, (3, 4))[:, :3], np.zeros(0), "plumb_bob"
    else:
        name, matrix, distortion = "K", np.reshape(info.k, (3, 3)), np.array(info.d, dtype=float)
        model = info.distortion_model or "plumb_bob"
    if not matrix.any():
        return None
    if not np.isfinite(matrix).all() or matrix[0, 0] <= 0 or matrix[1, 1] <= 0:
        focal = f"{matrix[0, 0]:g}, {matrix[1, 1]:g}"
        raise ValueError(f"camera_info: {name} has focal lengths {focal}, they must be positive")
    if model not in _COEFFICIENTS:
        raise ValueError(f"camera_info: distortion_model {model!r} is not one of {', '.join(_COEFFICIENTS)}")
    if distortion.size not in _COEFFICIENTS[model] or not np.isfinite(distortion).all():
        wanted = " or ".join(map(str, _COEFFICIENTS[model]))
        raise ValueError(f"camera_info: D has {distortion.size} numbers, {model} needs {wanted}, finite")
    binning = max(1, info.binning_x), max(1, info.binning_y)
    roi = info.roi
    full = (roi.width or info.width, roi.height or info.height)
    return Camera(
        matrix=matrix,
        distortion=distortion if distortion.size else np.zeros(4),
        model=model,
        binning=binning,
        offset=(roi.x_offset, roi.y_offset),
        size=(full[0] // binning[0], full[1] // binning[1]),
    )
