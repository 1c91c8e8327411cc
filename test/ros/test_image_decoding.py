"""Decoding against pixel values worked out by hand, for every encoding, with padded rows and either byte order."""

import array
import sys

import cv2
import numpy as np
import pytest
from sensor_msgs.msg import CompressedImage, Image

from tpf_model.normalise import ThermalNormaliser
from tpf_ros.image_decoding import ACCEPTED_ENCODINGS, BadImage, decode_thermal, decode_visible

H, W = 12, 18
RNG = np.random.default_rng(0)
RGB = RNG.integers(0, 256, (H, W, 3), dtype=np.uint8)
RGB16 = RNG.integers(0, 65536, (H, W, 3), dtype=np.uint16)
MONO = RNG.integers(0, 256, (H, W), dtype=np.uint8)
MONO16 = RNG.integers(0, 65536, (H, W), dtype=np.uint16)
FLOAT = RNG.uniform(0, 1, (H, W)).astype(np.float32)
ALPHA = np.full((H, W, 1), 77, np.uint8)


def message(encoding: str, rows: np.ndarray, padding: int = 0, big: bool = False, height: int = H) -> Image:
    """An Image of `rows` (rows, values...), each followed by `padding` bytes of rubbish."""
    if big:
        rows = rows.byteswap()
    rows = np.ascontiguousarray(rows).reshape(len(rows), -1).view(np.uint8)
    rows = np.hstack([rows, np.full((len(rows), padding), 0xAB, np.uint8)])
    image = Image(height=height, width=W, encoding=encoding, step=rows.shape[1])
    image.is_bigendian = int(big != (sys.byteorder == "big"))
    image.data.frombytes(rows.tobytes())
    return image


def luminance(rgb: np.ndarray) -> np.ndarray:
    return rgb @ np.array([0.299, 0.587, 0.114])


def grey_rgb(grey: np.ndarray) -> np.ndarray:
    return np.repeat(grey[..., None], 3, axis=2)


# encoding: rows in memory, visible as RGB, thermal
PLAIN = {
    "rgb8": (RGB, RGB, luminance(RGB)),
    "bgr8": (RGB[..., ::-1], RGB, luminance(RGB)),
    "8UC3": (RGB[..., ::-1], RGB, luminance(RGB)),
    "rgba8": (np.dstack([RGB, ALPHA]), RGB, luminance(RGB)),
    "bgra8": (np.dstack([RGB[..., ::-1], ALPHA]), RGB, luminance(RGB)),
    "rgb16": (RGB16, RGB16 // 256, luminance(RGB16)),
    "bgr16": (RGB16[..., ::-1], RGB16 // 256, luminance(RGB16)),
    "mono8": (MONO, grey_rgb(MONO), MONO),
    "8UC1": (MONO, grey_rgb(MONO), MONO),
    "mono16": (MONO16, grey_rgb(MONO16 // 256), MONO16),
    "16UC1": (MONO16, grey_rgb(MONO16 // 256), MONO16),
    "32FC1": (FLOAT, grey_rgb(FLOAT * 255), FLOAT),
}


@pytest.mark.parametrize("padding", [0, 1, 14])
@pytest.mark.parametrize("big", [False, True])
@pytest.mark.parametrize("encoding", PLAIN)
def test_plain_encodings(encoding, big, padding):
    rows, rgb, grey = PLAIN[encoding]
    image = message(encoding, rows, padding, big)
    visible, thermal = decode_visible(image), decode_thermal(image)
    assert visible.dtype == np.uint8 and visible.shape == (H, W, 3)
    np.testing.assert_allclose(visible, rgb, atol=0.51 if encoding == "32FC1" else 0)
    assert thermal.dtype == rows.dtype and thermal.dtype.isnative and thermal.shape == (H, W)
    np.testing.assert_allclose(thermal, grey, atol=0 if grey.dtype == rows.dtype else 2)


def yuv_to_rgb(y: np.ndarray, u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """BT.601, video range."""
    y, u, v = (plane.astype(float) for plane in (y, u, v))
    luma, u, v = 1.164 * (y - 16), u - 128, v - 128
    return np.clip(np.dstack([luma + 1.596 * v, luma - 0.813 * v - 0.392 * u, luma + 2.017 * u]), 0, 255)


def yuv_rows(encoding: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(rows in memory, RGB, Y) of a random YUV image."""
    y = RNG.integers(16, 236, (H, W), dtype=np.uint8)
    planar = encoding.startswith("nv")
    u, v = RNG.integers(90, 170, (2, H // (1 + planar), W // 2), dtype=np.uint8)
    full_u, full_v = (plane.repeat(2, axis=1).repeat(1 + planar, axis=0) for plane in (u, v))
    rgb = yuv_to_rgb(y, full_u, full_v)
    if planar:
        chroma = np.dstack([u, v] if encoding == "nv12" else [v, u]).reshape(H // 2, W)
        return np.vstack([y, chroma]), rgb, y
    chroma = np.dstack([u, v]).reshape(H, W)
    order = [y, chroma] if encoding in ("yuyv", "yuv422_yuy2") else [chroma, y]
    return np.dstack(order).reshape(H, 2 * W), rgb, y


@pytest.mark.parametrize("padding", [0, 1, 14])
@pytest.mark.parametrize("encoding", ["nv12", "nv21", "yuyv", "yuv422_yuy2", "uyvy", "yuv422"])
def test_yuv_encodings(encoding, padding):
    rows, rgb, y = yuv_rows(encoding)
    image = message(encoding, rows, padding)
    np.testing.assert_allclose(decode_visible(image), rgb, atol=2)
    np.testing.assert_array_equal(decode_thermal(image), y)


@pytest.mark.parametrize("padding", [0, 14])
@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("pattern", ["rggb", "bggr", "gbrg", "grbg"])
def test_bayer_encodings(pattern, bits, padding):
    colour = {"r": 200, "g": 120, "b": 40}
    tile = np.array([colour[c] for c in pattern]).reshape(2, 2)
    mosaic = np.tile(tile, (H // 2, W // 2)).astype(np.uint8)
    rows = mosaic if bits == 8 else mosaic.astype(np.uint16) * 256
    image = message(f"bayer_{pattern}{bits}", rows, padding)
    assert (decode_visible(image)[2:-2, 2:-2] == [200, 120, 40]).all()
    grey = decode_thermal(image)[2:-2, 2:-2] / (1 if bits == 8 else 256)
    np.testing.assert_allclose(grey, luminance(np.array([200, 120, 40])), atol=1)


def test_every_accepted_encoding_is_tested():
    tested = {*PLAIN, "nv12", "nv21", "yuyv", "yuv422_yuy2", "uyvy", "yuv422"}
    tested |= {f"bayer_{pattern}{bits}" for pattern in ("rggb", "bggr", "gbrg", "grbg") for bits in (8, 16)}
    assert tested == set(ACCEPTED_ENCODINGS)


@pytest.mark.parametrize("decode, encoding", [
    (decode_visible, "rgb8"),
    (decode_thermal, "mono8"),
    (decode_thermal, "mono16"),
    (decode_thermal, "16UC1"),
    (decode_thermal, "32FC1"),
])  # fmt: skip
@pytest.mark.parametrize("padding", [0, 4])
def test_what_needs_no_conversion_is_not_copied(decode, encoding, padding):
    image = message(encoding, PLAIN[encoding][0], padding)
    assert np.shares_memory(decode(image), np.frombuffer(image.data, np.uint8))


def test_the_y_plane_is_not_copied():
    image = message("nv12", yuv_rows("nv12")[0])
    assert np.shares_memory(decode_thermal(image), np.frombuffer(image.data, np.uint8))


@pytest.mark.parametrize("data", [
    bytes,
    bytearray,
    lambda data: np.frombuffer(data, np.uint8),
    lambda data: array.array("B", data),
])  # fmt: skip
def test_any_kind_of_byte_buffer_will_do(data):
    class Plain:  # as readers of bags give it
        pass

    image = Plain()
    image.height, image.width, image.step, image.encoding, image.is_bigendian = H, W, 3 * W, "rgb8", 0
    image.data = data(RGB.tobytes())
    np.testing.assert_array_equal(decode_visible(image), RGB)


def changed(**fields) -> Image:
    image = message(fields.pop("encoding", "mono8"), MONO)
    for name, value in fields.items():
        setattr(image, name, value)
    return image


@pytest.mark.parametrize("decode", [decode_visible, decode_thermal])
@pytest.mark.parametrize("image, reason", [
    (changed(width=0), "0x12 mono8 image is empty"),
    (changed(height=0), "18x0 mono8 image is empty"),
    (changed(step=W - 1), "step 17, a row needs at least 18 bytes"),
    (changed(step=0), "step 0"),
    (changed(height=H + 1), "has 216 bytes, 13 rows of step 18 need 234"),
    (changed(height=H - 1), "has 216 bytes, 11 rows of step 18 need 198"),
    (changed(data=array.array("B")), "has 0 bytes"),
    (changed(encoding="16UC1"), "a row needs at least 36 bytes"),
    (changed(encoding="nv12"), "has 216 bytes, 18 rows of step 18 need 324"),
    (changed(encoding="nv12", height=H - 1), "18x11 nv12 .* even size"),
    (changed(encoding="nv21", width=W - 1), "17x12 nv21 .* even size"),
    (changed(encoding="yuyv", width=W - 1), "even size"),
    (changed(width=2**32 - 1, height=2**32 - 1, step=2**32 - 1), "has 216 bytes"),
])  # fmt: skip
def test_a_bad_message_is_refused_with_the_reason(decode, image, reason):
    with pytest.raises(BadImage, match=reason):
        decode(image)


@pytest.mark.parametrize("encoding", ["", "RGB8", "nv24", "64FC1", "jpeg"])
@pytest.mark.parametrize("decode", [decode_visible, decode_thermal])
def test_an_unknown_encoding_is_refused_with_the_accepted_ones(decode, encoding):
    with pytest.raises(BadImage, match=f"encoding '{encoding}'.*accepted without cv_bridge: .*bgr8.*yuyv"):
        decode(message(encoding, MONO))


SMOOTH = cv2.resize(RNG.integers(0, 256, (4, 6, 3), dtype=np.uint8), (96, 64), interpolation=cv2.INTER_CUBIC)  # RGB


def compressed(extension: str, image: np.ndarray, format: str, cut: int | None = None) -> CompressedImage:
    data = cv2.imencode(extension, image)[1].tobytes()[:cut]
    return CompressedImage(format=format, data=array.array("B", data))


@pytest.mark.parametrize("format", ["rgb8; jpeg compressed bgr8", "bgr8; jpeg compressed bgr8", "jpeg", ""])
def test_jpeg(format):
    image = compressed(".jpg", SMOOTH[..., ::-1], format)
    assert np.abs(decode_visible(image).astype(int) - SMOOTH).mean() < 3
    assert np.abs(decode_thermal(image) - luminance(SMOOTH)).mean() < 2


def test_jpeg_whose_publisher_swapped_the_channels():
    image = compressed(".jpg", SMOOTH, "rgb8; jpeg compressed rgb8")
    assert np.abs(decode_visible(image).astype(int) - SMOOTH).mean() < 3


def test_counts_that_were_divided_for_a_jpeg_are_counts_again():
    """As image_transport makes it of a raw thermal image; else the few grey levels left would pass unstretched."""
    counts = (20000 + 40 * cv2.cvtColor(SMOOTH, cv2.COLOR_RGB2GRAY).astype(np.uint16)).astype(np.uint16)
    image = compressed(".jpg", cv2.convertScaleAbs(counts, alpha=255 / 65535), "mono16; jpeg compressed mono8")
    thermal = decode_thermal(image)
    assert thermal.dtype == np.uint16
    assert np.abs(thermal.astype(int) - counts).mean() < 257
    assert np.ptp(ThermalNormaliser()(thermal)) > 200


def test_png_keeps_every_value():
    np.testing.assert_array_equal(decode_visible(compressed(".png", RGB[..., ::-1], "bgr8; png compressed bgr8")), RGB)
    deep = compressed(".png", MONO16, "16UC1; png compressed ")
    thermal = decode_thermal(deep)
    assert thermal.dtype == np.uint16
    np.testing.assert_array_equal(thermal, MONO16)
    np.testing.assert_array_equal(decode_visible(deep), grey_rgb(MONO16 // 256))
    np.testing.assert_array_equal(decode_thermal(compressed(".png", MONO, "mono8; png compressed ")), MONO)


def test_an_exif_rotation_does_not_turn_the_image():
    exif = bytes.fromhex("ffe1002245786966000049492a000800000001001201030001000000060000000000000000")
    jpeg = cv2.imencode(".jpg", SMOOTH)[1].tobytes()
    image = CompressedImage(format="jpeg", data=array.array("B", jpeg[:2] + exif + jpeg[2:]))
    assert decode_visible(image).shape == (64, 96, 3)
    assert decode_thermal(image).shape == (64, 96)


@pytest.mark.parametrize("decode", [decode_visible, decode_thermal])
@pytest.mark.parametrize("image, reason", [
    (CompressedImage(format="jpeg"), "format 'jpeg' is empty"),
    (CompressedImage(format="jpeg", data=array.array("B", range(200))), "200 bytes of format 'jpeg' are not an image"),
    (compressed(".jpg", SMOOTH, "jpeg", cut=700), "700 bytes is cut off"),
    (compressed(".png", MONO, "png", cut=20), "not an image|cannot be decoded"),
    (CompressedImage(format="16UC1; compressedDepth png", data=array.array("B", b"x")), "compressedDepth .* use raw"),
])  # fmt: skip
def test_a_bad_compressed_message_is_refused_with_the_reason(decode, image, reason):
    with pytest.raises(BadImage, match=reason):
        decode(image)
