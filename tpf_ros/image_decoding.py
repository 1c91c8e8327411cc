"""Image messages to arrays: `decode_visible` and `decode_thermal`.

Both take a sensor_msgs/Image or a sensor_msgs/CompressedImage (or anything with the same fields), honour `step` and
`is_bigendian`, and raise `BadImage` for a message that cannot be used. Nothing is copied where the message's bytes are
already what is wanted: rgb8 for visible, mono8, mono16, 16UC1, 32FC1 and the Y plane of nv12/nv21 for thermal. Such a
result shares its memory with the message: treat it as read-only.

bgr8 is reordered once, by OpenCV (0.03 ms for 640x512). A reversed view would cost nothing here and 2 ms in every crop,
because OpenCV copies arrays with negative strides element by element.
"""

import sys
from dataclasses import dataclass

import cv2
import numpy as np

from tpf_ros.bad_image import BadImage
from tpf_ros.compressed_decoding import decompress_thermal, decompress_visible


@dataclass(frozen=True)
class _Layout:
    """How an encoding lies in memory, and OpenCV's conversions of it; None where it is already RGB or one channel."""

    dtype: str  # NumPy's, without byte order
    channels: int  # values per pixel
    to_rgb: int | None
    to_grey: int | None
    planes: int = 2  # half image heights: 2 is a plain image, 3 has half-height chroma below


_MONO = (1, cv2.COLOR_GRAY2RGB, None)
_LAYOUTS = {
    "rgb8": _Layout("u1", 3, None, cv2.COLOR_RGB2GRAY),
    "bgr8": _Layout("u1", 3, cv2.COLOR_BGR2RGB, cv2.COLOR_BGR2GRAY),
    "rgba8": _Layout("u1", 4, cv2.COLOR_RGBA2RGB, cv2.COLOR_RGBA2GRAY),
    "bgra8": _Layout("u1", 4, cv2.COLOR_BGRA2RGB, cv2.COLOR_BGRA2GRAY),
    "rgb16": _Layout("u2", 3, None, cv2.COLOR_RGB2GRAY),
    "bgr16": _Layout("u2", 3, cv2.COLOR_BGR2RGB, cv2.COLOR_BGR2GRAY),
    "mono8": _Layout("u1", *_MONO),
    "mono16": _Layout("u2", *_MONO),
    "32FC1": _Layout("f4", *_MONO),
    "nv12": _Layout("u1", 1, cv2.COLOR_YUV2RGB_NV12, None, planes=3),
    "nv21": _Layout("u1", 1, cv2.COLOR_YUV2RGB_NV21, None, planes=3),
    "yuyv": _Layout("u1", 2, cv2.COLOR_YUV2RGB_YUY2, cv2.COLOR_YUV2GRAY_YUY2),
    "uyvy": _Layout("u1", 2, cv2.COLOR_YUV2RGB_UYVY, cv2.COLOR_YUV2GRAY_UYVY),
}
for _pattern in ("rggb", "bggr", "gbrg", "grbg"):
    for _bits, _dtype in (("8", "u1"), ("16", "u2")):
        _name = f"COLOR_Bayer{_pattern.upper()}2"
        _codes = getattr(cv2, f"{_name}RGB"), getattr(cv2, f"{_name}GRAY")
        _LAYOUTS[f"bayer_{_pattern}{_bits}"] = _Layout(_dtype, 1, *_codes)
_ALIASES = {
    "8UC1": "mono8",
    "8UC3": "bgr8",
    "16UC1": "mono16",
    "yuv422_yuy2": "yuyv",
    "yuv422": "uyvy",
}

ACCEPTED_ENCODINGS = tuple(sorted([*_LAYOUTS, *_ALIASES]))
"""Encodings of sensor_msgs/Image that are decoded without cv_bridge."""


def decode_visible(message) -> np.ndarray:
    """Decode an Image or CompressedImage to (H, W, 3) uint8 RGB, rows possibly strided; raise BadImage.

    16-bit images are taken as full range (65535 is white), 32FC1 as 0..1, 8UC3 as BGR, YUV as BT.601 video range.
    """
    if hasattr(message, "format"):
        return decompress_visible(message)
    layout = _layout(message)
    if layout is None:
        return _decode_with_cv_bridge(message, "rgb8")
    pixels = _to_8_bit(_pixels(message, layout))
    return pixels if layout.to_rgb is None else cv2.cvtColor(pixels, layout.to_rgb)


def decode_thermal(message) -> np.ndarray:
    """Decode an Image or CompressedImage to (h, w) uint8, uint16 or float32, rows possibly strided; raise BadImage.

    Counts are kept as they are. A colour image (a palette drawn by the camera) becomes its luminance.
    """
    if hasattr(message, "format"):
        return decompress_thermal(message)
    layout = _layout(message)
    if layout is None:
        return _decode_with_cv_bridge(message, "mono8")
    pixels = _pixels(message, layout)
    if layout.to_grey is not None:
        return cv2.cvtColor(pixels, layout.to_grey)
    return pixels[: message.height]  # of nv12 and nv21 the Y plane


def _layout(message) -> _Layout | None:
    return _LAYOUTS.get(_ALIASES.get(message.encoding, message.encoding))


def _pixels(message, layout: _Layout) -> np.ndarray:
    """The message's bytes as (rows, width[, channels]) in native byte order: a view wherever that is possible."""
    width, height, step = message.width, message.height, message.step
    what = f"{width}x{height} {message.encoding} image"
    if width == 0 or height == 0:
        raise BadImage(f"{what} is empty")
    if (layout.channels == 2 and width % 2) or (layout.planes == 3 and (width % 2 or height % 2)):
        raise BadImage(f"{what} shares its colour between two pixels: it needs an even size")
    dtype = np.dtype(layout.dtype)
    row_bytes = width * layout.channels * dtype.itemsize
    if step < row_bytes:
        raise BadImage(f"{what} has step {step}, a row needs at least {row_bytes} bytes")
    rows = height * layout.planes // 2
    data = np.frombuffer(message.data, np.uint8)
    if data.size != step * rows:
        raise BadImage(f"{what} has {data.size} bytes, {rows} rows of step {step} need {step * rows}")
    pixels = data.reshape(rows, step)[:, :row_bytes].view(dtype)
    if dtype.itemsize > 1:
        if bool(message.is_bigendian) != (sys.byteorder == "big"):
            pixels = pixels.byteswap()
        pixels = np.require(pixels, requirements="A")  # an odd step makes rows that OpenCV must not read
    return pixels if layout.channels == 1 else pixels.reshape(rows, width, layout.channels)


def _to_8_bit(pixels: np.ndarray) -> np.ndarray:
    if pixels.dtype == np.uint16:
        return (pixels >> 8).astype(np.uint8)
    if pixels.dtype == np.float32:
        return (np.clip(np.nan_to_num(pixels), 0, 1) * 255 + 0.5).astype(np.uint8)
    return pixels


def _decode_with_cv_bridge(message, wanted: str) -> np.ndarray:
    # Imported when first needed: cv_bridge is absent or broken in many environments (its wheels against NumPy 2).
    accepted = f"accepted without cv_bridge: {', '.join(ACCEPTED_ENCODINGS)}"
    try:
        from cv_bridge import CvBridge
    except Exception as error:
        reason = f"cv_bridge, which may know it, cannot be imported ({error})"
        raise BadImage(f"encoding {message.encoding!r} is unknown and {reason}; {accepted}") from error
    try:
        return CvBridge().imgmsg_to_cv2(message, wanted)
    except Exception as error:
        raise BadImage(f"cv_bridge cannot decode encoding {message.encoding!r} ({error}); {accepted}") from error
