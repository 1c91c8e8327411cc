"""Whether each camera gives usable images: OK, SILENT, BLACK, FROZEN or SATURATED.

| health | when |
|---|---|
| SILENT | no message for `silent_after`, or none with a new stamp; messages that cannot be used |
| BLACK | visible: dark everywhere, or one flat colour; thermal: flat (raw counts within the sensor's noise) |
| SATURATED | visible: nearly all white; thermal: raw counts at the end of the scale |
| FROZEN | bit-identical images for `frozen_after` while their stamps advance |

All but silence are judged on a few thousand samples of each image, and on the whole image before one is condemned: a
small light in a night sky, or a small dark target before a white one, may be all that there is to track. 8-bit thermal
images are judged by flatness alone, because black and white may mean either hot or cold in them.

A change to the worse takes 3 images in a row, recovery 5, so a camera at a threshold does not flicker. A camera is
FROZEN only next to one that is OK and moving: real sensors are noisy and never repeat an image, but a simulated or
strongly compressed scene at rest does, and then in both; and the last camera left is not given up for repeating.
"""

import enum
import math
import zlib
from dataclasses import dataclass, field

import cv2
import numpy as np

_SAMPLES = 4096  # of an image, about
_HASHED_ROWS = 32
_WORSE_AFTER = 3  # images
_BETTER_AFTER = 5
_REPEATS = 5  # identical images that look frozen, at any rate
_FLAT_SPAN = {"uint8": 2, "uint16": 8}  # levels or counts
_FLAT_RELATIVE = 1e-4  # of a float image's largest value: 0.03 K at room temperature
_FULL_SCALES = {"uint8": (255,), "uint16": (4095, 16383, 65535)}  # 12-, 14- and 16-bit cores
_NEAR_WHITE = 249
_NEAR_GREY = 210
_LAST_PIXELS = 1e-4  # share of an image's pixels that still makes a target: 33 of 640x512


class Health(enum.IntEnum):
    """As in TrackedTarget.msg."""

    OK = 0
    SILENT = 1
    BLACK = 2
    FROZEN = 3
    SATURATED = 4


def _setting(default: float, description: str, low: float, high: float):
    return field(default=default, metadata={"description": description, "low": low, "high": high})


@dataclass(frozen=True)
class HealthConfig:
    """Thresholds; the node's `health.*` parameters."""

    silent_after: float = _setting(
        0.5, "A camera without a message for so long, s, is SILENT. Must exceed the cameras' period.", 0.05, 60.0
    )
    black_level: float = _setting(
        10.0, "A visible image with hardly a pixel above this level (of 255) is BLACK.", 0.0, 60.0
    )
    saturated_fraction: float = _setting(
        0.95, "With this share of its pixels at full scale (visible: and none dark) an image is SATURATED.", 0.5, 1.0
    )
    frozen_after: float = _setting(1.0, "A camera that repeats one image for so long, s, is FROZEN.", 0.05, 60.0)


class ModalityHealth:
    """The health of both cameras. Stamps and `now` (a steady clock) in ns.

    `heard_*` may be called from the callbacks' thread, the rest from one other thread.
    """

    def __init__(self, config: HealthConfig = HealthConfig()):
        self._visible = _Camera(config)
        self._thermal = _Camera(config)

    def heard_visible(self, now: int, stamp: int) -> None:
        """A visible message arrived."""
        self._visible.hear(now, stamp)

    def heard_thermal(self, now: int, stamp: int) -> None:
        """A thermal message arrived."""
        self._thermal.hear(now, stamp)

    def see_visible(self, image: np.ndarray | None, stamp: int) -> None:
        """Judge a visible image, (H, W, 3) uint8; None is one that cannot be used."""
        self._visible.see(image, stamp)

    def see_thermal(self, image: np.ndarray | None, stamp: int) -> None:
        """Judge a thermal image as the camera gave it, (h, w) uint8, uint16 or float32; None: cannot be used."""
        self._thermal.see(image, stamp)

    def visible(self, now: int) -> Health:
        return self._visible.health(self._thermal, now)

    def thermal(self, now: int) -> Health:
        return self._thermal.health(self._visible, now)


class _Camera:
    def __init__(self, config: HealthConfig):
        self._config = config
        self._heard: int | None = None  # when the last message came
        self._stamp: int | None = None  # its stamp
        self._settled = Health.OK
        self._contrary = 0  # images in a row that say otherwise than `settled`
        self._repetition = _Repetition(config.frozen_after)

    def hear(self, now: int, stamp: int) -> None:
        if stamp != self._stamp:  # a driver may repeat its last message when the camera behind it is gone
            self._heard, self._stamp = now, stamp

    def see(self, image: np.ndarray | None, stamp: int) -> None:
        verdict = Health.SILENT if image is None else judge_image(image, self._config)
        if image is not None:
            self._repetition.see(image, stamp)
            if verdict == Health.OK and self._repetition.frozen:
                verdict = Health.FROZEN
        self._contrary = 0 if verdict == self._settled else self._contrary + 1
        if self._contrary >= (_BETTER_AFTER if verdict == Health.OK else _WORSE_AFTER):
            self._settled = verdict
            self._contrary = 0

    def health(self, other: "_Camera", now: int) -> Health:
        if self._silent(now):
            return Health.SILENT
        if self._settled == Health.FROZEN and not other._moving(now):
            return Health.OK
        return self._settled

    def _silent(self, now: int) -> bool:
        return self._heard is None or now - self._heard > self._config.silent_after * 1e9

    def _moving(self, now: int) -> bool:
        return self._settled == Health.OK and not self._silent(now) and not self._repetition.repeating


class _Repetition:
    """For how long an image has been repeated, bit by bit."""

    def __init__(self, frozen_after: float):
        self._frozen_after = frozen_after * 1e9
        self._rows: int | None = None  # hash of some rows of the last image
        self._image: np.ndarray | None = None  # a copy of all of it, made only when those rows repeat
        self._since = 0  # stamp of the first of the identical images
        self._newest = 0
        self._count = 0

    @property
    def repeating(self) -> bool:
        return self._count >= _REPEATS

    @property
    def frozen(self) -> bool:
        return self.repeating and self._newest - self._since >= self._frozen_after

    def see(self, image: np.ndarray, stamp: int) -> None:
        rows = zlib.crc32(np.ascontiguousarray(image[:: max(1, image.shape[0] // _HASHED_ROWS)]))
        if rows != self._rows or stamp <= self._newest:
            self._start(stamp)
        elif self._image is None:  # the first repetition, for all that the rows tell
            self._image = image.copy()
            self._count = 1
        elif np.array_equal(image, self._image):
            self._count += 1
        else:
            self._start(stamp)
        self._rows, self._newest = rows, stamp

    def _start(self, stamp: int) -> None:
        self._image, self._since, self._count = None, stamp, 0


def judge_image(image: np.ndarray, config: HealthConfig = HealthConfig()) -> Health:
    """OK, BLACK or SATURATED: one image by itself, visible (H, W, 3) uint8 or thermal (h, w) as the camera gave it."""
    stride = max(1, math.isqrt(image.shape[0] * image.shape[1] // _SAMPLES))
    samples = np.ascontiguousarray(image[::stride, ::stride])
    if _is_flat(samples) and _is_flat(image):
        return Health.SATURATED if samples.flat[0] in _FULL_SCALES.get(image.dtype.name, ()) else Health.BLACK
    if image.ndim == 3:
        return _judge_visible(image, samples, config)
    if image.dtype == np.uint16 and samples.max() in _FULL_SCALES["uint16"]:
        if np.count_nonzero(samples == samples.max()) >= config.saturated_fraction * samples.size:
            return Health.SATURATED
    return Health.OK


def _judge_visible(image: np.ndarray, samples: np.ndarray, config: HealthConfig) -> Health:
    if _share_above(samples, config.black_level) <= 0.01:
        return Health.BLACK if _share_above(image, 4 * config.black_level) <= _LAST_PIXELS else Health.OK
    if _share_above(samples, _NEAR_WHITE) >= config.saturated_fraction:
        return Health.SATURATED if 1 - _share_above(image, _NEAR_GREY) <= _LAST_PIXELS else Health.OK
    return Health.OK


def _share_above(image: np.ndarray, level: float) -> float:
    """Share of the values of an (H, W, 3) image that exceed `level`."""
    _, above = cv2.threshold(image.reshape(len(image), -1), level, 255, cv2.THRESH_BINARY)
    return cv2.countNonZero(above) / image.size


def _is_flat(image: np.ndarray) -> bool:
    """Whether all values (each channel's) are as good as equal. An image without a finite value is flat."""
    if image.dtype == np.float32:
        image = image[np.isfinite(image)]
        return image.size == 0 or np.ptp(image) <= _FLAT_RELATIVE * np.abs(image).max()
    channels = [image] if image.ndim == 2 else cv2.split(image)
    return all(np.ptp(channel) <= _FLAT_SPAN[image.dtype.name] for channel in channels)
