"""Compressed image messages to arrays: JPEG, PNG (8 and 16 bit), and whatever else OpenCV's imdecode reads.

image_transport's `format` strings look like "bgr8; jpeg compressed bgr8", "16UC1; png compressed " or just "jpeg".
"""

import cv2
import numpy as np

from tpf_ros.bad_image import BadImage

# The image is used as the sensor gave it: an EXIF rotation would no longer fit the camera_info.
_COLOUR = cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
_GREY_ANY_DEPTH = cv2.IMREAD_ANYDEPTH | cv2.IMREAD_IGNORE_ORIENTATION
_DIVISOR = 257  # 65535 / 255, as cv_bridge has it


def decompress_visible(message) -> np.ndarray:
    """Decode a CompressedImage to (H, W, 3) uint8 RGB; raise BadImage."""
    image = _decompress(message, _COLOUR)
    if "compressed rgb" in message.format:
        return image  # its publisher handed RGB to an encoder that takes BGR, so OpenCV's BGR is RGB
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB)


def decompress_thermal(message) -> np.ndarray:
    """Decode a CompressedImage to (h, w) uint8, uint16 or float32; colour becomes luminance; raise BadImage.

    Counts that were divided to fit into a JPEG are multiplied again: else they would pass for grey levels to be shown.
    """
    image = _decompress(message, _GREY_ANY_DEPTH)
    return image * np.uint16(_DIVISOR) if divides_counts(message.format) else image


def divides_counts(format: str) -> bool:
    """Whether image_transport has divided 16-bit counts to make an 8-bit JPEG, by a CompressedImage's format."""
    return format.startswith("mono16;") and "jpeg" in format


def _decompress(message, flags: int) -> np.ndarray:
    if "compressedDepth" in message.format:
        raise BadImage(
            f"format {message.format!r} is of the compressedDepth transport; use raw, or compressed with format png"
        )
    data = bytes(message.data)
    if not data:
        raise BadImage(f"compressed image of format {message.format!r} is empty")
    if data.startswith(b"\xff\xd8") and b"\xff\xd9" not in data:
        raise BadImage(f"JPEG image of {len(data)} bytes is cut off: it has no end marker")
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    except cv2.error as error:
        raise BadImage(f"{len(data)} bytes of format {message.format!r} cannot be decoded ({error.err})") from error
    if image is None:
        raise BadImage(f"{len(data)} bytes of format {message.format!r} are not an image; accepted: jpeg, png")
    if image.dtype not in (np.uint8, np.uint16, np.float32):
        raise BadImage(f"compressed image holds {image.dtype} values; accepted: uint8, uint16, float32")
    return image
