"""Thermal images of any depth to 8 bits, steadily from frame to frame."""

import cv2
import numpy as np

MODES = ("percentile", "fixed", "full")

# Percentiles of every 4th pixel each way are as steady as those of all pixels, and cost a sixteenth.
_STEP = 4
_SMOOTHING = 0.9  # the weight of the past, per frame


class ThermalNormaliser:
    """Map a thermal image's useful range to 0..255; `__call__` is to see each frame once, in order.

    mode: "percentile" takes the range between two percentiles, smoothed over frames so that a hot object entering the
    view does not make the rest flicker, and leaves 8-bit images alone, which the camera has normalised already;
    "fixed" takes `limits`, in the image's own units; "full" takes each image's minimum and maximum. Percentiles are of
    the values that are not 0: that is what rectification and alignment leave where the camera saw nothing.
    percentiles: the two percentiles, 0..100.
    """

    def __init__(
        self,
        mode: str = "percentile",
        percentiles: tuple[float, float] = (2.0, 98.0),
        limits: tuple[float, float] | None = None,
    ):
        if mode not in MODES:
            raise ValueError(f"thermal normalisation is {mode!r}, must be one of {', '.join(MODES)}")
        if not 0 <= percentiles[0] < percentiles[1] <= 100:
            raise ValueError(f"thermal percentiles are {tuple(percentiles)}, need 0 <= low < high <= 100")
        if mode == "fixed" and (limits is None or not np.isfinite(limits).all() or not limits[0] < limits[1]):
            raise ValueError(f"thermal limits are {limits}, fixed normalisation needs two numbers, low < high")
        self._mode = mode
        self._percentiles = percentiles
        self._fixed = limits
        self._range: tuple[float, float] | None = None

    def __call__(self, image: np.ndarray) -> np.ndarray:
        """image: (h, w) or (h, w, 3), uint8, uint16 or float32 (NaN and infinities allowed) -> (h, w) uint8.

        An image without any contrast becomes black. ValueError for another shape or type.
        """
        image = _one_channel(image)
        if self._mode == "percentile" and image.dtype == np.uint8:
            return image
        limits = self._limits(image)
        if limits is None:
            return np.zeros(image.shape, np.uint8)
        return _stretch(image, *limits)

    def _limits(self, image: np.ndarray) -> tuple[float, float] | None:
        if self._mode == "fixed":
            return self._fixed
        if self._mode == "full":
            return _percentile_range(image, (0, 100))
        sampled = image[::_STEP, ::_STEP]
        current = _percentile_range(sampled[sampled != 0], self._percentiles)
        if current is None:  # a small target before a uniform background is all the contrast there is
            current = _percentile_range(image[image != 0], (0, 100)) or _percentile_range(image, (0, 100))
        if current is not None:  # else the shutter is closed: it says nothing about the scene's range
            self._range = self._smooth(current)
        return self._range

    def _smooth(self, current: tuple[float, float]) -> tuple[float, float]:
        last = self._range
        if last is None or current[0] > last[1] or current[1] < last[0]:
            return current  # the first image, or the camera has switched its gain
        return tuple(_SMOOTHING * before + (1 - _SMOOTHING) * now for before, now in zip(last, current))


def _one_channel(image: np.ndarray) -> np.ndarray:
    if image.dtype not in (np.uint8, np.uint16, np.float32):
        raise ValueError(f"thermal image is {image.dtype}, needs uint8, uint16 or float32")
    if image.ndim == 3 and image.shape[2] == 3 and image.size:
        return cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    if image.ndim != 2 or not image.size:
        raise ValueError(f"thermal image has the shape {image.shape}, needs (h, w) or (h, w, 3)")
    return image


def _percentile_range(image: np.ndarray, percentiles: tuple[float, float]) -> tuple[float, float] | None:
    """The two percentiles of the finite values, or None where they are equal or there is no value."""
    values = image.ravel()
    if image.dtype == np.float32:
        values = values[np.isfinite(values)]
    if not values.size:
        return None
    ranks = [round(p / 100 * (values.size - 1)) for p in percentiles]
    ordered = np.partition(values, ranks)
    low, high = (float(ordered[rank]) for rank in ranks)
    return (low, high) if high > low else None


def _stretch(image: np.ndarray, low: float, high: float) -> np.ndarray:
    if image.dtype == np.float32:
        image = np.clip(image, low, high)  # infinities to the ends
        cv2.patchNaNs(image, low)
    gain = 255 / (high - low)
    # One vectorised pass that rounds and saturates at both ends.
    return cv2.addWeighted(image, gain, image, 0, -low * gain, dtype=cv2.CV_8U)
