from itertools import islice
from pathlib import Path

import numpy as np
import pytest
from rosbags.highlevel import AnyReader

from tpf_ros.bag_writer import START_STAMP, Stream, write_bag
from tpf_ros.sources import SourceError, open_source

CLIP = Path(__file__).parents[1] / "data/0117_1620"


def stream(name: str, source=None) -> Stream:
    source = source or open_source(str(CLIP / f"{name}.mp4"), name)
    return Stream(source, f"/{name}/image", f"{name}_camera")


def test_the_bag_holds_the_videos_pixels_and_stamps(tmp_path):
    write_bag(tmp_path / "bag", [stream("visible"), stream("thermal")], first=3, last=5)
    with AnyReader([tmp_path / "bag"]) as reader:
        messages = [(c.topic, time, reader.deserialize(raw, c.msgtype)) for c, time, raw in reader.messages()]
    for name, encoding in (("visible", "bgr8"), ("thermal", "mono8")):
        items = list(islice(open_source(str(CLIP / f"{name}.mp4"), name), 3, 6))
        written = [(time, message) for topic, time, message in messages if topic == f"/{name}/image"]
        assert len(written) == 3
        for (time, message), item in zip(written, items):
            assert time == START_STAMP + item.stamp_ns
            assert message.header.stamp.sec * 10**9 + message.header.stamp.nanosec == time
            assert (message.encoding, message.header.frame_id) == (encoding, f"{name}_camera")
            pixels = message.data.reshape(message.height, message.width, message.step // message.width)
            expected = item.load()
            expected = expected[..., ::-1] if name == "visible" else expected[..., None]
            np.testing.assert_array_equal(pixels, expected)


def test_a_source_that_ends_early_is_named(tmp_path):
    class Cut:
        name = "thermal.avi"

        def __iter__(self):
            return islice(open_source(str(CLIP / "thermal.mp4"), "thermal"), 2)

    with pytest.raises(SourceError, match="thermal.avi ends after 2 images"):
        write_bag(tmp_path / "bag", [stream("visible"), stream("thermal", Cut())])


def test_a_first_image_beyond_the_end_is_an_error(tmp_path):
    with pytest.raises(SourceError, match="has no image 9999"):
        write_bag(tmp_path / "bag", [stream("visible"), stream("thermal")], first=9999)
