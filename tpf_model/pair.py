"""The two images of a frame, aligned: what the fusion adapter takes."""

import cv2
import numpy as np

from tpf_model.crop import Crop, warp
from tpf_model.frame import Frame
from tpf_model.registration import Registration

Pair = tuple[np.ndarray, np.ndarray]  # visible (H, W, 3) uint8 RGB, thermal (H, W) uint8, the same size


def crop_pair(frame: Frame, crop: Crop, registration: Registration) -> Pair:
    """Both images of `frame` inside `crop`, (S, S, 3) and (S, S) uint8."""
    return _pair(frame, registration, crop.to_image_matrix(), (crop.size, crop.size))


def whole_pair(frame: Frame, registration: Registration) -> Pair:
    """Both images of `frame` in visible pixels, (H, W, 3) and (H, W) uint8."""
    return _pair(frame, registration, np.eye(3), frame.size)


def to_thermal(frame: Frame, registration: Registration) -> np.ndarray:
    """(3, 3) matrix from the visible image's coordinates to those of the thermal image, which `frame` must have."""
    height, width = frame.thermal.shape
    return np.linalg.inv(registration.matrix((width, height), frame.size))


def _pair(frame: Frame, registration: Registration, to_visible: np.ndarray, size: tuple[int, int]) -> Pair:
    """Where one image is missing the other's luminance stands in for it: the adapter has always two inputs."""
    visible = thermal = None
    if frame.visible is not None:
        visible = warp(frame.visible, to_visible, size)
    if frame.thermal is not None:
        thermal = warp(frame.thermal, to_thermal(frame, registration) @ to_visible, size)
    if visible is None:
        visible = cv2.cvtColor(thermal, cv2.COLOR_GRAY2RGB)
    if thermal is None:
        thermal = cv2.cvtColor(visible, cv2.COLOR_RGB2GRAY)
    return visible, thermal
