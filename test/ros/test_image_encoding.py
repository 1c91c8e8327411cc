"""What is published is what was given, and it is written the fast way."""

import numpy as np
import pytest
from rclpy.serialization import deserialize_message, serialize_message
from sensor_msgs.msg import Image
from std_msgs.msg import Header

from tpf_ros.image_decoding import decode_thermal, decode_visible
from tpf_ros.image_encoding import encode_image
from tpf_ros.stamps import to_nanoseconds, to_stamp

RNG = np.random.default_rng(0)
RGB = RNG.integers(0, 256, (10, 14, 3), dtype=np.uint8)
HEADER = Header(frame_id="visible_optical", stamp=to_stamp(12_345_678_901_234_567))


def over_the_wire(message: Image) -> Image:
    return deserialize_message(serialize_message(message), Image)


@pytest.mark.parametrize("image", [RGB, RGB[::-1, ::2], RGB.transpose(1, 0, 2), np.asfortranarray(RGB)])
@pytest.mark.parametrize("encoding", ["rgb8", "bgr8"])
def test_colour_images_of_any_memory_order_survive_the_wire(image, encoding):
    received = over_the_wire(encode_image(image, encoding, HEADER))
    assert (received.header, received.encoding) == (HEADER, encoding)
    np.testing.assert_array_equal(decode_visible(received), image if encoding == "rgb8" else image[..., ::-1])


@pytest.mark.parametrize("encoding, dtype", [("mono8", np.uint8), ("mono16", np.uint16), ("32FC1", np.float32)])
def test_single_channel_images_survive_the_wire(encoding, dtype):
    image = RNG.uniform(0, 255, (9, 7)).astype(dtype)
    np.testing.assert_array_equal(decode_thermal(over_the_wire(encode_image(image, encoding, HEADER))), image)


@pytest.mark.parametrize("image, encoding, reason", [
    (RGB, "mono8", r"image is \(10, 14, 3\) uint8, mono8 needs \(H, W\) uint8"),
    (RGB[..., 0], "rgb8", r"needs \(H, W, 3\) uint8"),
    (RGB.astype(np.float32), "rgb8", "float32"),
    (RGB[:0], "rgb8", r"\(0, 14, 3\)"),
    (RGB, "jpeg", "'jpeg' is not one of rgb8, bgr8"),
])  # fmt: skip
def test_what_does_not_fit_the_encoding_is_refused(image, encoding, reason):
    with pytest.raises(ValueError, match=reason):
        encode_image(image, encoding, HEADER)


def test_a_changed_array_does_not_change_the_message():
    image = RGB.copy()
    message = encode_image(image, "rgb8", HEADER)
    image[:] = 0
    np.testing.assert_array_equal(decode_visible(message), RGB)


@pytest.mark.parametrize("nanoseconds", [0, 1, 999_999_999, 1_000_000_000, 1_700_000_000_123_456_789])
def test_stamps_keep_every_nanosecond(nanoseconds):
    assert to_nanoseconds(to_stamp(nanoseconds)) == nanoseconds
