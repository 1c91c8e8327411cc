from pathlib import Path

import numpy as np
import pytest
from rosbags.rosbag2 import StoragePlugin, Writer
from rosbags.typesys import Stores, get_typestore

from tpf_ros.bag_schedule import read_stamp, restamp, schedule, with_info_topics

TYPES = get_typestore(Stores.ROS2_HUMBLE)
MS = 10**6
START = 5000 * 10**9


def image(stamp: int):
    time = TYPES.types["builtin_interfaces/msg/Time"](stamp // 10**9, stamp % 10**9)
    header = TYPES.types["std_msgs/msg/Header"](time, "camera")
    return TYPES.types["sensor_msgs/msg/Image"](header, 2, 2, "mono8", 0, 2, np.arange(4, dtype=np.uint8))


def write_bag(path: Path, messages: list[tuple[str, int, int]]) -> Path:
    """A bag of (topic, time of recording, stamp), both in ms after START."""
    with Writer(path, version=9, storage_plugin=StoragePlugin.MCAP) as writer:
        topics = {
            topic: writer.add_connection(topic, "sensor_msgs/msg/Image", typestore=TYPES)
            for topic in sorted({topic for topic, _, _ in messages})
        }
        for topic, recorded, stamp in messages:
            data = TYPES.serialize_cdr(image(START + stamp * MS), "sensor_msgs/msg/Image")
            writer.write(topics[topic], START + recorded * MS, data)
    return path


def play(path: Path, **options) -> list[tuple[str, int, int, float, float]]:
    items = schedule(path, with_info_topics("/v/image", "/t/image"), **options)
    return [(item.stream, item.frame, item.repeat, item.due / MS, item.stamp / MS) for item in items]


@pytest.mark.parametrize("little_endian", [True, False])
def test_restamp_changes_the_stamp_and_nothing_else(little_endian):
    data = TYPES.serialize_cdr(image(7 * 10**9 + 123456789), "sensor_msgs/msg/Image", little_endian=little_endian)
    assert read_stamp(data) == 7 * 10**9 + 123456789
    changed = TYPES.deserialize_cdr(restamp(data, 1_700_000_000_987_654_321), "sensor_msgs/msg/Image")
    assert (changed.header.stamp.sec, changed.header.stamp.nanosec) == (1_700_000_000, 987_654_321)
    assert (changed.header.frame_id, changed.encoding, list(changed.data)) == ("camera", "mono8", [0, 1, 2, 3])


def test_the_first_visible_image_is_stamped_when_it_is_due_and_recorded_delays_stay(tmp_path):
    # The thermal clock is 40 ms ahead; its first image was recorded first; the second visible one came 5 ms late.
    bag = write_bag(
        tmp_path / "bag",
        [("/t/image", 10, 40), ("/v/image", 12, 0), ("/v/image", 50, 33), ("/t/image", 51, 73)],
    )
    assert play(bag) == [
        ("thermal", 0, 0, 0, 42),
        ("visible", 0, 0, 2, 2),
        ("visible", 1, 0, 40, 35),
        ("thermal", 1, 0, 41, 75),
    ]


def test_further_passes_go_on_one_period_later(tmp_path):
    bag = write_bag(
        tmp_path / "bag", [(topic, 100 * i, 100 * i) for i in range(3) for topic in ("/t/image", "/v/image")]
    )
    visible = [item for item in play(bag, passes=2) if item[0] == "visible"]
    assert [(frame, repeat) for _, frame, repeat, _, _ in visible] == [(0, 0), (1, 0), (2, 0), (0, 1), (1, 1), (2, 1)]
    assert [due for *_, due, _ in visible] == pytest.approx([0, 100, 200, 300, 400, 500], abs=1e-3)
    assert [stamp for *_, stamp in visible] == pytest.approx([0, 100, 200, 300, 400, 500], abs=1e-3)


def test_topics_that_are_not_played_do_not_delay_the_next_pass(tmp_path):
    messages = [("/v/image", 0, 0), ("/t/image", 1, 1), ("/v/image", 100, 100), ("/other", 9000, 0)]
    dues = [due for stream, *_, due, _ in play(write_bag(tmp_path / "bag", messages), passes=3) if stream == "visible"]
    assert dues == [0, 100, 200, 300, 400, 500]
    lone = play(write_bag(tmp_path / "lone", [("/v/image", 0, 0), ("/t/image", 0, 0)]), passes=2)
    assert [due for *_, due, _ in lone] == [0, 0, 1000, 1000]


def test_the_rate_divides_times_and_leaves_stamps_as_they_are(tmp_path):
    bag = write_bag(tmp_path / "bag", [("/t/image", 0, 5), ("/v/image", 10, 0), ("/v/image", 100, 100)])
    plain, fast = play(bag, passes=2), play(bag, passes=2, rate=2.0)
    assert [due for *_, due, _ in fast] == [due / 2 for *_, due, _ in plain]
    assert [stamp for *_, stamp in fast] == [stamp for *_, stamp in plain] == [15, 10, 110, 205, 200, 300]


def test_other_topics_of_the_bag_stay_out(tmp_path):
    bag = write_bag(tmp_path / "bag", [("/v/image", 0, 0), ("/other", 1, 1), ("/t/image", 2, 2)])
    assert [item[0] for item in play(bag)] == ["visible", "thermal"]


def test_camera_info_is_found_beside_the_image():
    topics = with_info_topics("/uav/rgb/image/compressed", "/uav/ir/image_raw")
    assert topics["/uav/rgb/camera_info"] == "visible"
    assert topics["/uav/ir/camera_info"] == "thermal"
