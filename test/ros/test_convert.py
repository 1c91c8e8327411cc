"""Rosbags to folders: the right images paired, nothing lost, and what is wrong told with bag, topic and message."""

import csv

import cv2
import numpy as np
import pytest
from rosbags.rosbag2 import StoragePlugin, Writer
from rosbags.typesys import Stores, get_types_from_msg, get_typestore

from tpf_model.registration import Registration
from tpf_training.datasets.convert_bag import bag_to_folder
from tpf_training.datasets.folder import read_folder
from tpf_training.datasets.pair_stamps import pair_stamps
from tpf_training.datasets.record import DatasetError

MS = 10**6
START = 10**18
TYPES = get_typestore(Stores.ROS2_HUMBLE)
VISION = {
    "vision_msgs/msg/Point2D": "float64 x\nfloat64 y",
    "vision_msgs/msg/Pose2D": "vision_msgs/Point2D position\nfloat64 theta",
    "vision_msgs/msg/BoundingBox2D": "vision_msgs/Pose2D center\nfloat64 size_x\nfloat64 size_y",
    "vision_msgs/msg/Detection2D": "std_msgs/Header header\nvision_msgs/BoundingBox2D bbox\nstring id",
    "vision_msgs/msg/Detection2DArray": "std_msgs/Header header\nvision_msgs/Detection2D[] detections",
}
for _name, _text in VISION.items():
    TYPES.register(get_types_from_msg(_text, _name))


def make(name, *values):
    return TYPES.types[name](*values)


def header(stamp):
    return make("std_msgs/msg/Header", make("builtin_interfaces/msg/Time", stamp // 10**9, stamp % 10**9), "camera")


def raw(stamp, image, encoding, padding=0, big=False):
    data = image.reshape(len(image), -1).view(np.uint8) if not big else image.byteswap().view(np.uint8)
    rows = np.pad(data, ((0, 0), (0, padding)), constant_values=99)
    values = *image.shape[:2], encoding, int(big), rows.shape[1], rows.ravel()
    return make("sensor_msgs/msg/Image", header(stamp), *values)


def compressed(stamp, image, suffix, form):
    data = cv2.imencode(suffix, image)[1].ravel()
    return make("sensor_msgs/msg/CompressedImage", header(stamp), form, data)


def detection(stamp, x, y, w, h):
    pose = make("vision_msgs/msg/Pose2D", make("vision_msgs/msg/Point2D", x + w / 2, y + h / 2), 0.0)
    return make("vision_msgs/msg/Detection2D", header(stamp), make("vision_msgs/msg/BoundingBox2D", pose, w, h), "")


def write_bag(path, **topics):
    """Lists of messages by topic, interleaved in the order of their stamps."""
    with Writer(path, version=9, storage_plugin=StoragePlugin.MCAP) as writer:
        queue = []
        for topic, messages in topics.items():
            kind = messages[0].__msgtype__
            connection = writer.add_connection(f"/{topic}/image", kind, typestore=TYPES)
            queue += [(m.header.stamp.sec * 10**9 + m.header.stamp.nanosec, connection, kind, m) for m in messages]
        for stamp, connection, kind, message in sorted(queue, key=lambda entry: entry[0]):
            writer.write(connection, stamp, TYPES.serialize_cdr(message, kind))
    return path


def images(count, channels=3, dtype=np.uint8, size=(48, 64)):
    rng = np.random.default_rng(0)
    shape = (*size, channels) if channels > 1 else size
    return [rng.integers(0, np.iinfo(dtype).max, shape, dtype) for _ in range(count)]


def visible_topic(count=6, period=40 * MS):
    return [raw(START + i * period, image, "bgr8") for i, image in enumerate(images(count))]


def thermal_topic(count=6, period=40 * MS, delay=3 * MS, size=(48, 64)):
    counts = images(count, 1, np.uint16, size)
    return [raw(START + delay + i * period, image, "mono16") for i, image in enumerate(counts)]


def convert(bag, out, *options, **more):
    return bag_to_folder(bag, "/visible/image", "thermal/image", out, *options, **more)


def written(folder):
    return [cv2.imread(str(path), cv2.IMREAD_UNCHANGED) for path in sorted(folder.iterdir())]


def test_images_come_back_to_the_last_bit_with_their_stamps(tmp_path):
    bag = write_bag(tmp_path / "bag", visible=visible_topic(), thermal=thermal_topic())
    assert convert(bag, tmp_path / "clip") == 6
    np.testing.assert_array_equal(written(tmp_path / "clip/visible"), images(6))
    np.testing.assert_array_equal(written(tmp_path / "clip/thermal"), images(6, 1, np.uint16))
    with open(tmp_path / "clip/stamps.csv") as file:
        rows = list(csv.DictReader(file))
    assert [int(row["visible"]) for row in rows] == [START + i * 40 * MS for i in range(6)]
    assert [int(row["thermal"]) for row in rows] == [START + (3 + i * 40) * MS for i in range(6)]
    with pytest.raises(DatasetError, match="clip: is there already"):
        convert(bag, tmp_path / "clip")


@pytest.mark.parametrize(
    "message, expected",
    [
        (lambda i: raw(START, i[..., ::-1].copy(), "rgb8", padding=5), lambda i: i),
        (lambda i: raw(START, i[..., 0].copy(), "mono8"), lambda i: np.repeat(i[..., :1], 3, axis=2)),
        (lambda i: compressed(START, i, ".png", "bgr8; png compressed bgr8"), lambda i: i),
        (lambda i: compressed(START, i, ".png", "rgb8; png compressed rgb8"), lambda i: i[..., ::-1]),
    ],
)
def test_encodings_of_the_visible_camera(tmp_path, message, expected):
    (image,) = images(1)
    convert(write_bag(tmp_path / "bag", visible=[message(image)], thermal=thermal_topic(1)), tmp_path / "clip")
    np.testing.assert_array_equal(written(tmp_path / "clip/visible")[0], expected(image))


@pytest.mark.parametrize(
    "message",
    [
        lambda i: raw(START, i, "16UC1", big=True),
        lambda i: raw(START, i, "mono16", padding=6),
        lambda i: compressed(START, i, ".png", "16UC1; png compressed "),
    ],
)
def test_encodings_of_the_thermal_camera(tmp_path, message):
    (image,) = images(1, 1, np.uint16)
    convert(write_bag(tmp_path / "bag", visible=visible_topic(1), thermal=[message(image)]), tmp_path / "clip")
    np.testing.assert_array_equal(written(tmp_path / "clip/thermal")[0], image)


def test_each_image_is_paired_once_with_the_nearest_in_time():
    first = np.array([0, 40, 80, 200, 120])
    second = np.array([130, 41, 78, 2, 83, 500])
    assert pair_stamps(first, second, 20).tolist() == [[0, 3], [1, 1], [2, 2], [4, 0]]
    assert pair_stamps(first, second, 2).tolist() == [[0, 3], [1, 1], [2, 2]]
    assert pair_stamps(np.array([10, 12, 14]), np.array([13]), 5).tolist() in ([[1, 0]], [[2, 0]])
    assert pair_stamps(first, second[:0], 20).shape == (0, 2)


def test_a_slower_camera_sets_the_pace(tmp_path):
    thermal = thermal_topic(3, period=80 * MS)
    assert convert(write_bag(tmp_path / "bag", visible=visible_topic(), thermal=thermal), tmp_path / "clip") == 3
    np.testing.assert_array_equal(written(tmp_path / "clip/visible"), images(6)[::2])


def test_a_converted_bag_with_detections_is_a_clip_to_train_on(tmp_path):
    arrays = []
    for i in range(6):
        stamp = START + i * 40 * MS + 1 * MS
        found = [] if i == 2 else [detection(stamp, 10.5 + i, 8.0, 12.0, 20.0)]
        arrays.append(make("vision_msgs/msg/Detection2DArray", header(stamp), found))
    topics = {"visible": visible_topic(), "thermal": thermal_topic(size=(24, 32)), "target": arrays}
    convert(write_bag(tmp_path / "bag", **topics), tmp_path / "data/clip", boxes_topic="target/image")
    (clip,) = read_folder(tmp_path / "data")
    assert clip.frames.tolist() == [0, 1, 3, 4, 5]
    assert clip.boxes[2].tolist() == [13.5, 8, 12, 20]
    assert clip.thermal[0].shape == (48, 64)  # resampled to the visible one's pixels


def test_the_thermal_image_is_moved_onto_the_visible_one(tmp_path):
    bag = write_bag(tmp_path / "bag", visible=visible_topic(1), thermal=thermal_topic(1))
    registration = Registration.homography([1, 0, 7, 0, 1, 2, 0, 0, 1])
    convert(bag, tmp_path / "clip", registration=registration)
    np.testing.assert_array_equal(written(tmp_path / "clip/thermal")[0][2:, 7:], images(1, 1, np.uint16)[0][:-2, :-7])


def test_boxes_of_a_file_are_checked_against_the_pairs(tmp_path):
    bag, boxes = write_bag(tmp_path / "bag", visible=visible_topic(), thermal=thermal_topic()), tmp_path / "b.csv"
    boxes.write_text("frame,x,y,w,h,visible\n0,1,2,9,9,1\n6,1,2,9,9,1\n")
    with pytest.raises(DatasetError, match="b.csv: has a box for frame 6, .*bag has 6 pairs"):
        convert(bag, tmp_path / "clip", boxes_csv=boxes)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["b.csv", "bag"]  # nothing half done is left
    boxes.write_text("frame,x,y,w,h,visible\n0,1,2,9,9,1\n5,1,2,9,9,1\n")
    convert(bag, tmp_path / "clip", boxes_csv=boxes)
    assert (tmp_path / "clip/boxes.csv").read_text() == boxes.read_text()


def test_a_missing_topic_is_an_error_that_lists_those_there_are(tmp_path):
    bag = write_bag(tmp_path / "bag", visible=visible_topic(1), infrared=thermal_topic(1))
    with pytest.raises(DatasetError, match=r"no topic /thermal/image of type Image.*: /infrared/image \(sensor_msgs"):
        convert(bag, tmp_path / "clip")
    with pytest.raises(DatasetError, match="nothing: not a rosbag"):
        convert(tmp_path / "nothing", tmp_path / "clip")


@pytest.mark.parametrize(
    "visible, thermal, message",
    [
        (visible_topic(), thermal_topic(delay=10**9), "no images within 0.02 s, the nearest are 0.8 s apart"),
        ([raw(START, images(1)[0], "yuv9")], thermal_topic(1), "visible/image: message 0: encoding 'yuv9', accepted"),
        ([raw(0, images(1)[0], "bgr8")], thermal_topic(1), "visible/image: message 0 has no stamp"),
        ([raw(START, images(1)[0], "bgra8")], thermal_topic(1), "message 0: 64x48 bgra8 with step 192 has 9216 bytes"),
        (
            [make("sensor_msgs/msg/CompressedImage", header(START), "jpeg", np.frombuffer(b"\xff\xd8 cut", np.uint8))],
            thermal_topic(1),
            "message 0: cut off after 6 bytes",
        ),
    ],
)
def test_what_cannot_be_used_is_told_with_its_topic_and_message(tmp_path, visible, thermal, message):
    bag = write_bag(tmp_path / "bag", visible=visible, thermal=thermal)
    with pytest.raises(DatasetError, match=message):
        convert(bag, tmp_path / "clip")
    assert [path.name for path in tmp_path.iterdir()] == ["bag"]
