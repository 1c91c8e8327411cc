"""Images of a rosbag's messages, sensor_msgs Image or CompressedImage, to pixels."""

import sys

import cv2
import numpy as np

from tpf_training.datasets.image_file import decode_image

# Type and number of the values of a pixel, and OpenCV's conversion to BGR; None: it is BGR or grey already.
_ENCODINGS = {
    "bgr8": ("u1", 3, None),
    "8UC3": ("u1", 3, None),
    "rgb8": ("u1", 3, cv2.COLOR_RGB2BGR),
    "bgra8": ("u1", 4, cv2.COLOR_BGRA2BGR),
    "rgba8": ("u1", 4, cv2.COLOR_RGBA2BGR),
    "mono8": ("u1", 1, None),
    "8UC1": ("u1", 1, None),
    "mono16": ("u2", 1, None),
    "16UC1": ("u2", 1, None),
    "bayer_rggb8": ("u1", 1, cv2.COLOR_BayerRGGB2BGR),
    "bayer_bggr8": ("u1", 1, cv2.COLOR_BayerBGGR2BGR),
    "bayer_gbrg8": ("u1", 1, cv2.COLOR_BayerGBRG2BGR),
    "bayer_grbg8": ("u1", 1, cv2.COLOR_BayerGRBG2BGR),
}


def visible_image(message) -> np.ndarray:
    """(H, W, 3) uint8 BGR, as cv2.imwrite takes it; ValueError for a message that cannot be used."""
    if hasattr(message, "format"):
        image = _decompress(message, cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)
        # Its publisher handed RGB to an encoder that takes BGR, so what OpenCV calls BGR is RGB.
        return np.ascontiguousarray(image[..., ::-1]) if "compressed rgb" in message.format else image
    image = _pixels(message)
    if image.dtype == np.uint16:
        image = (image >> 8).astype(np.uint8)
    return image if image.ndim == 3 else cv2.cvtColor(image, cv2.COLOR_GRAY2BGR)


def thermal_image(message) -> np.ndarray:
    """(h, w) uint8 or uint16, counts as they are; colour becomes luminance. ValueError as above."""
    if hasattr(message, "format"):
        image = _decompress(message, cv2.IMREAD_ANYDEPTH | cv2.IMREAD_IGNORE_ORIENTATION)
    else:
        image = _pixels(message)
    if image.dtype not in (np.uint8, np.uint16):
        raise ValueError(f"holds {image.dtype} values, accepted: uint8, uint16")
    return image if image.ndim == 2 else cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)


def _decompress(message, flags: int) -> np.ndarray:
    if "compressedDepth" in message.format:
        raise ValueError(f"format {message.format!r} is of the compressedDepth transport, accepted: jpeg, png")
    return decode_image(bytes(message.data), flags)


def _pixels(message) -> np.ndarray:
    """(H, W) or (H, W, 3) BGR."""
    if message.encoding not in _ENCODINGS:
        raise ValueError(f"encoding {message.encoding!r}, accepted: {', '.join(_ENCODINGS)}")
    dtype, channels, to_bgr = _ENCODINGS[message.encoding]
    width, height, step = message.width, message.height, message.step
    data, row = np.frombuffer(message.data, np.uint8), width * channels * np.dtype(dtype).itemsize
    if not width or not height or step < row or data.size != step * height:
        raise ValueError(f"{width}x{height} {message.encoding} with step {step} has {data.size} bytes")
    pixels = np.ascontiguousarray(data.reshape(height, step)[:, :row]).view(dtype)
    if bool(message.is_bigendian) != (sys.byteorder == "big"):
        pixels = pixels.byteswap()
    if channels > 1:
        pixels = pixels.reshape(height, width, channels)
    return pixels if to_bgr is None else cv2.cvtColor(pixels, to_bgr)
