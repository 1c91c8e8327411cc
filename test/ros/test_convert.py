"""`tpf convert` as a user runs it: sequences to bags and back, nothing lost, and what is wrong told by its name."""

import csv
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
from rosbags.highlevel import AnyReader
from rosbags.rosbag1 import Writer as Ros1Writer
from rosbags.rosbag2 import StoragePlugin, Writer
from rosbags.typesys import Stores, get_types_from_msg, get_typestore

from tpf_ros import cli
from tpf_ros.bag_types import TARGET
from tpf_ros.bag_types import TYPES as OURS
from tpf_ros.ground_truth import TrueBox, read_true_boxes
from tpf_ros.pair_stamps import pair_stamps

CLIP = Path(__file__).parents[1] / "data/0117_1620"
MESSAGE_FILE = Path(__file__).parents[2] / "tpf_interfaces/msg/TrackedTarget.msg"
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

# What floats, absence and gaps do to files: 0.1 + 0.2 and its like do not survive a centre or a fixed number of digits.
BOXES = [
    TrueBox(0, (0.1 + 0.2, 1 / 3, 1000 / 3, 200.1), True),
    TrueBox(1, (-3.5, 2.0**-40, 1e-3 + 1e-17, 123456.789), True),
    TrueBox(2, (0.0, 0.0, 0.0, 0.0), False),
    TrueBox(4, (5.0, 6.0, 7.0, 8.0), False),  # of frame 3 nothing is known
    TrueBox(5, (10.0, 8.0, 12.0, 20.0), True),
]
# Not of one period, and the thermal ones neither before nor after the visible ones.
STAMPS = [
    (START + 40 * MS * i + i * i * 7919, START + 40 * MS * i + (-1) ** i * 3 * MS + i) for i in range(6)
]


def tpf(*arguments) -> int:
    return cli.main(["convert", *map(str, arguments)])


def images(count, channels=3, dtype=np.uint8, size=(48, 64)):
    rng = np.random.default_rng(0)
    shape = (*size, channels) if channels > 1 else size
    return [rng.integers(0, np.iinfo(dtype).max, shape, dtype) for _ in range(count)]


def write_images(folder: Path, pixels, suffix=".png"):
    folder.mkdir(parents=True)
    for number, image in enumerate(pixels):
        cv2.imwrite(str(folder / f"{number:06}{suffix}"), image)


def write_sequence(folder: Path, thermal=None, boxes=BOXES, stamps=STAMPS) -> Path:
    """A sequence in our own format of 6 frames."""
    write_images(folder / "visible", images(6))
    write_images(folder / "thermal", images(6, 1, np.uint16) if thermal is None else thermal)
    lines = [",".join(map(repr, (true.frame, *true.box, int(true.visible)))) for true in boxes]
    (folder / "boxes.csv").write_text("\n".join(["frame,x,y,w,h,visible", *lines]) + "\n")
    rows = [f"{frame},{visible},{heat}" for frame, (visible, heat) in enumerate(stamps)]
    (folder / "stamps.csv").write_text("\n".join(["frame,visible,thermal", *rows]) + "\n")
    return folder


def written(folder):
    return [cv2.imread(str(path), cv2.IMREAD_UNCHANGED) for path in sorted(folder.iterdir())]


def messages(bag: Path) -> dict[str, list]:
    """(recorded, message) by topic."""
    found: dict[str, list] = {}
    with AnyReader([bag], default_typestore=OURS) as reader:
        for connection, time, raw in reader.messages():
            found.setdefault(connection.topic, []).append((time, reader.deserialize(raw, connection.msgtype)))
    return found


def stamp_of(message) -> int:
    return message.header.stamp.sec * 10**9 + message.header.stamp.nanosec


@pytest.mark.parametrize("storage", ["mcap", "sqlite3"])
def test_a_sequence_comes_back_from_a_bag_to_the_last_bit(tmp_path, capsys, storage):
    sequence = write_sequence(tmp_path / "sequence")
    assert tpf(sequence, tmp_path / "bag", "--storage", storage) == 0
    assert tpf(tmp_path / "bag", tmp_path / "back") == 0
    assert "6 pairs, 5 boxes" in capsys.readouterr().out
    np.testing.assert_array_equal(written(tmp_path / "back/visible"), images(6))
    thermal = written(tmp_path / "back/thermal")
    assert thermal[0].dtype == np.uint16
    np.testing.assert_array_equal(thermal, images(6, 1, np.uint16))
    assert (tmp_path / "back/stamps.csv").read_text() == (sequence / "stamps.csv").read_text()
    assert read_true_boxes(tmp_path / "back/boxes.csv") == BOXES
    topics = messages(tmp_path / "bag")
    assert {message.encoding for _, message in topics["/thermal/image"]} == {"mono16"}
    for topic, column in (("/visible/image", 0), ("/thermal/image", 1)):
        assert [(time, stamp_of(message)) for time, message in topics[topic]] == [(row[column],) * 2 for row in STAMPS]


def test_ros_itself_reads_the_boxes(tmp_path):
    """The type is tpf_interfaces' own, field by field, and rclpy's deserialiser takes the bytes."""
    from rclpy.serialization import deserialize_message

    from tpf_interfaces.msg import TrackedTarget

    text = "\n".join(line.partition("#")[0] for line in MESSAGE_FILE.read_text().splitlines())
    assert get_types_from_msg(text, TARGET)[TARGET] == OURS.fielddefs[TARGET]
    assert tpf(write_sequence(tmp_path / "sequence"), tmp_path / "bag") == 0
    with AnyReader([tmp_path / "bag"], default_typestore=OURS) as reader:
        chosen = [connection for connection in reader.connections if connection.msgtype == TARGET]
        read = [deserialize_message(raw, TrackedTarget) for _, _, raw in reader.messages(chosen)]
    assert [(m.x, m.y, m.width, m.height) for m in read] == [true.box for true in BOXES]
    states = {True: TrackedTarget.TRACKING, False: TrackedTarget.LOST}
    assert [m.state for m in read] == [states[true.visible] for true in BOXES]
    assert [stamp_of(m) for m in read] == [STAMPS[true.frame][0] for true in BOXES]
    assert (read[0].x_norm, read[0].height_norm) == (BOXES[0].box[0] / 64, BOXES[0].box[3] / 48)


def test_compressed_images_of_files_that_are_jpeg_keep_their_bytes(tmp_path):
    sequence = write_sequence(tmp_path / "sequence")
    shutil.rmtree(sequence / "visible")
    write_images(sequence / "visible", images(6), ".jpg")
    assert tpf(sequence, tmp_path / "bag", "--jpeg") == 0
    topics = messages(tmp_path / "bag")
    assert set(topics) == {"/visible/image/compressed", "/thermal/image", "/ground_truth"}  # 16 bits do not fit in JPEG
    assert tpf(tmp_path / "bag", tmp_path / "back") == 0
    for name in ("visible", "thermal"):
        np.testing.assert_array_equal(written(tmp_path / "back" / name), written(sequence / name))
    for path in (sequence / "visible").iterdir():
        assert (tmp_path / "back/visible" / path.name).read_bytes() == path.read_bytes()


def test_other_images_are_compressed_with_the_quality_asked_for(tmp_path):
    smooth = [np.full((48, 64), 50 + 30 * i, np.uint8) for i in range(6)]
    sequence = write_sequence(tmp_path / "sequence", smooth)
    sizes = []
    for quality in (30, 95):
        assert tpf(sequence, tmp_path / f"bag{quality}", "--jpeg", quality) == 0
        topics = messages(tmp_path / f"bag{quality}")
        sizes.append(sum(message.data.size for _, message in topics["/visible/image/compressed"]))
    assert sizes[0] < 0.6 * sizes[1]
    assert tpf(tmp_path / "bag95", tmp_path / "back") == 0
    assert np.abs(np.array(written(tmp_path / "back/thermal"), int) - smooth).max() <= 2


def test_floating_point_counts_are_kept(tmp_path):
    kelvin = [image.astype(np.float32) / 7 for image in images(6, 1, np.uint16)]
    sequence = write_sequence(tmp_path / "sequence", [])
    for number, image in enumerate(kelvin):
        cv2.imwrite(str(sequence / f"thermal/{number:06}.tiff"), image)
    assert tpf(sequence, tmp_path / "bag") == 0 and tpf(tmp_path / "bag", tmp_path / "back") == 0
    np.testing.assert_array_equal(written(tmp_path / "back/thermal"), kelvin)


def test_two_videos_and_a_csv_file(tmp_path, capsys):
    assert tpf(CLIP, tmp_path / "bag") == 2
    assert "several targets, A.csv, B.csv, C.csv, D.csv: choose one with --gt" in capsys.readouterr().err
    for name in ("visible.mp4", "thermal.mp4"):
        (tmp_path / "clip").mkdir(exist_ok=True)
        shutil.copy(CLIP / name, tmp_path / "clip")
    assert tpf(tmp_path / "clip", tmp_path / "bag", "--gt", CLIP / "C.csv", "--jpeg") == 0
    topics = messages(tmp_path / "bag")
    assert len(topics["/visible/image/compressed"]) == len(topics["/thermal/image/compressed"]) == 590
    visible = [stamp_of(message) for _, message in topics["/visible/image/compressed"]]
    thermal = [stamp_of(message) for _, message in topics["/thermal/image/compressed"]]
    assert visible == thermal and visible[1] - visible[0] == 33_333_333
    boxes = {stamp_of(message): message for _, message in topics["/ground_truth"]}
    for true in read_true_boxes(CLIP / "C.csv"):
        message = boxes.pop(visible[true.frame])
        assert (message.x, message.y, message.width, message.height) == true.box
        assert (message.state == message.TRACKING) == true.visible
    assert not boxes


LINES = "1,2,3,4\n5,6,7,8\n0,0,0,0\n"


@pytest.mark.parametrize(
    ("folders", "files", "options", "expected"),
    [
        (("visible", "infrared"), {"init.txt": LINES, "visible.txt": "9 9 9 9"}, [], "lasher"),
        (("visible", "infrared"), {"visible.txt": LINES, "infrared.txt": "8,8,8,8"}, [], "rgbt234"),
        (("v", "i"), {"groundTruth_v.txt": "1 2 4 6\n12\t14 5 6\nNaN NaN NaN NaN\n"}, [], "gtot"),
        (("rgb", "ir"), {"rgb.txt": "1 2 3 4\n"}, [], "vtuav"),
        (("left", "right"), {"mine.txt": LINES}, ["--visible", "left", "--thermal", "right"], "mine"),
    ],
)
def test_layouts_of_the_benchmarks(tmp_path, capsys, folders, files, options, expected):
    for folder in folders:
        write_images(tmp_path / "sequence" / folder, images(3))
    for name, text in files.items():
        (tmp_path / "sequence" / name).write_text(text)
    more = ["--gt", tmp_path / "sequence/mine.txt"] if expected == "mine" else []
    assert tpf(tmp_path / "sequence", tmp_path / "bag", *options, *more, "--fps", 10) == 0
    said = capsys.readouterr().out
    assert ("infrared.txt, the thermal images' own boxes, are left out" in said) == ("infrared.txt" in files)
    assert tpf(tmp_path / "bag", tmp_path / "back") == 0
    rows = [TrueBox(0, (1, 2, 3, 4), True), TrueBox(1, (5, 6, 7, 8), True), TrueBox(2, (0, 0, 0, 0), False)]
    assert read_true_boxes(tmp_path / "back/boxes.csv") == (rows[:1] if expected == "vtuav" else rows)
    with open(tmp_path / "back/stamps.csv") as file:
        stamps = [int(row["thermal"]) for row in csv.DictReader(file)]
    assert np.diff(stamps).tolist() == [10**8] * 2


def drop(path: str):
    return lambda sequence: (sequence / path).unlink()


def replace_text(path: str, old: str, new: str):
    return lambda sequence: (sequence / path).write_text((sequence / path).read_text().replace(old, new))


def replace_image(image):
    return lambda sequence: cv2.imwrite(str(sequence / "thermal/000003.png"), image)


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (drop("thermal/000005.png"), "visible has 6 images and"),
        (drop("boxes.csv"), ""),
        (replace_text("boxes.csv", "5,10.0", "6,10.0"), "boxes.csv has a box for frame 6, the last of 6 frames is 5"),
        (replace_text("boxes.csv", "5,10.0", "4,10.0"), "boxes.csv needs at least one box, with rising frame numbers"),
        (replace_text("boxes.csv", "10.0", "nan"), "boxes.csv, line 6: '5,nan,8.0,12.0,20.0,1' is not"),
        (replace_text("stamps.csv", f"{STAMPS[2][0]}", f"{START}"), f"visible/000002.png: its stamp {START} ns"),
        (replace_text("stamps.csv", f"{STAMPS[0][1]}", "0"), "thermal/000000.png: its stamp 0 ns must be greater"),
        (replace_text("stamps.csv", f"{STAMPS[5][0]}", f"{2**31 * 10**9}"), "less than 2**31 s"),
        (replace_text("stamps.csv", "5,", "6,"), "stamps.csv needs one line for each frame, 0..5"),
        (lambda s: (s / "thermal/000003.png").write_bytes(b"\x89PNG"), "thermal/000003.png is damaged"),
        (replace_image(np.zeros((9, 9), np.uint16)), "is 9x9 mono16, those before are 64x48 mono16"),
        (replace_image(np.zeros((48, 64), np.uint8)), "is 64x48 mono8, those before are 64x48 mono16"),
        (lambda s: (s / "visible").rename(s / "colour"), "holds no sequence: expected folders or videos named visible"),
    ],
)
def test_a_damaged_sequence_is_named_and_leaves_nothing(tmp_path, capsys, spoil, said):
    spoil(write_sequence(tmp_path / "sequence"))
    status = tpf(tmp_path / "sequence", tmp_path / "bag")
    assert status == (2 if said else 0)  # without boxes it is a bag without boxes
    assert said in capsys.readouterr().err
    assert sorted(path.name for path in tmp_path.iterdir()) == (["sequence"] if said else ["bag", "sequence"])


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nowhere", "new"], "nowhere does not exist"),
        (["sequence", "sequence"], "sequence is there already"),
        (["sequence/boxes.csv", "new"], "boxes.csv is neither a rosbag nor the folder of a sequence"),
        (["sequence", "new", "--visible", "visible"], "--visible and --thermal name both"),
        (["sequence", "new", "--visible", "rgb", "--thermal", "thermal"], "visible input sequence/rgb does not exist"),
        (["sequence", "new", "--gt", "nothing.csv"], "nothing.csv cannot be read"),
        (["sequence", "new", "--gt-topic", "boxes"], "--gt-topic has no meaning for a bag from a folder"),
        (["sequence", "new", "--jpeg", "101"], "--jpeg is 101, must be 0..100"),
        (["sequence", "new", "--fps", "0"], "--fps is 0, must be > 0"),
        (["bag", "new", "--fps", "30"], "--fps has no meaning for a folder from a bag"),
        (["bag", "new", "--gt", "a.csv", "--gt-topic", "b"], "not from both"),
        (["bag", "new", "--homography", *"100010001"], "--homography needs --align"),
        (["bag", "new", "--max-difference", "nan"], "--max-difference is nan"),
        (["bag", "new", "--visible", "/vsible/image"], "no image topic /vsible/image; did you mean /visible/image?"),
        (["bag", "new", "--visible", "/thermal/image"], "are both bag:/thermal/image"),
        (["bag", "new", "--gt-topic", "ground_thruth"], "no topic /ground_thruth; did you mean /ground_truth?"),
        (["bag", "new", "--gt-topic", "/visible/image"], "/visible/image is of type sensor_msgs/msg/Image, true boxes"),
        (["cut.mcap", "new"], "cut.mcap is not a rosbag that can be read"),
    ],
)
def test_unusable_arguments_are_named(shared, monkeypatch, capsys, arguments, said):
    monkeypatch.chdir(shared)
    before = sorted(shared.iterdir())
    assert tpf(*arguments) == 2
    assert said in capsys.readouterr().err
    assert sorted(shared.iterdir()) == before


@pytest.fixture(scope="module")
def shared(tmp_path_factory) -> Path:
    """A folder with a sequence, its bag, and a part of the bag's file."""
    folder = tmp_path_factory.mktemp("convert")
    assert tpf(write_sequence(folder / "sequence"), folder / "bag") == 0
    (folder / "cut.mcap").write_bytes((folder / "bag/bag.mcap").read_bytes()[:9000])
    return folder


# Bags of others.


def make(name, *values):
    return TYPES.types[name](*values)


def header(stamp):
    return make("std_msgs/msg/Header", make("builtin_interfaces/msg/Time", stamp // 10**9, stamp % 10**9), "camera")


def raw(stamp, image, encoding):
    rows = image.reshape(len(image), -1).view(np.uint8)
    return make("sensor_msgs/msg/Image", header(stamp), *image.shape[:2], encoding, 0, rows.shape[1], rows.ravel())


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
        for topic, ones in topics.items():
            kind = ones[0].__msgtype__
            connection = writer.add_connection(f"/{topic}/image", kind, typestore=TYPES)
            queue += [(START + 40 * MS * i, connection, kind, message) for i, message in enumerate(ones)]
        for recorded, connection, kind, message in sorted(queue, key=lambda entry: entry[0]):
            writer.write(connection, recorded, TYPES.serialize_cdr(message, kind))
    return path


def visible_topic(count=6, period=40 * MS):
    return [raw(START + i * period, image, "bgr8") for i, image in enumerate(images(count))]


def thermal_topic(count=6, period=40 * MS, delay=3 * MS, size=(48, 64)):
    counts = images(count, 1, np.uint16, size)
    return [raw(START + delay + i * period, image, "mono16") for i, image in enumerate(counts)]


def test_a_bag_of_ros_1(tmp_path):
    types = get_typestore(Stores.ROS1_NOETIC)
    topics = {"/visible/image": visible_topic(2), "/thermal/image": thermal_topic(2)}
    with Ros1Writer(tmp_path / "old.bag") as writer:
        for topic, ones in topics.items():
            connection = writer.add_connection(topic, "sensor_msgs/msg/Image", typestore=types)
            for number, one in enumerate(ones):
                time = types.types["builtin_interfaces/msg/Time"](one.header.stamp.sec, one.header.stamp.nanosec)
                head = types.types["std_msgs/msg/Header"](number, time, "camera")
                fields = (one.height, one.width, one.encoding, one.is_bigendian, one.step, one.data)
                message = types.types["sensor_msgs/msg/Image"](head, *fields)
                writer.write(connection, START + number, types.serialize_ros1(message, "sensor_msgs/msg/Image"))
    assert tpf(tmp_path / "old.bag", tmp_path / "clip") == 0
    np.testing.assert_array_equal(written(tmp_path / "clip/thermal"), images(2, 1, np.uint16))
    assert (tmp_path / "clip/stamps.csv").read_text().splitlines()[1] == f"0,{START},{START + 3 * MS}"


def test_images_whose_red_and_blue_changed_places_in_the_file_are_written_anew(tmp_path):
    (image,) = images(1)
    swapped = [compressed(START, image, ".png", "rgb8; png compressed rgb8")]
    assert tpf(write_bag(tmp_path / "bag", visible=swapped, thermal=thermal_topic(1)), tmp_path / "clip") == 0
    np.testing.assert_array_equal(written(tmp_path / "clip/visible")[0], image[..., ::-1])


def test_counts_that_were_divided_for_a_jpeg_are_written_as_counts(tmp_path):
    divided = [compressed(START, np.full((48, 64), 80, np.uint8), ".jpg", "mono16; jpeg compressed mono8")]
    assert tpf(write_bag(tmp_path / "bag", visible=visible_topic(1), thermal=divided), tmp_path / "clip") == 0
    (counts,) = written(tmp_path / "clip/thermal")
    assert counts.dtype == np.uint16 and (counts == 80 * 257).all()


def test_each_image_is_paired_once_with_the_nearest_in_time():
    first = np.array([0, 40, 80, 200, 120])
    second = np.array([130, 41, 78, 2, 83, 500])
    assert pair_stamps(first, second, 20).tolist() == [[0, 3], [1, 1], [2, 2], [4, 0]]
    assert pair_stamps(first, second, 2).tolist() == [[0, 3], [1, 1], [2, 2]]
    assert pair_stamps(np.array([10, 12, 14]), np.array([13]), 5).tolist() in ([[1, 0]], [[2, 0]])
    assert pair_stamps(first, second[:0], 20).shape == (0, 2)


def test_a_slower_camera_sets_the_pace_and_what_is_left_out_is_counted(tmp_path, capsys):
    bag = write_bag(tmp_path / "bag", visible=visible_topic(), thermal=thermal_topic(3, period=80 * MS))
    assert tpf(bag, tmp_path / "clip") == 0
    assert "3 pairs, 0 boxes; without a partner and left out: 3 visible, 0 thermal" in capsys.readouterr().out
    np.testing.assert_array_equal(written(tmp_path / "clip/visible"), images(6)[::2])


def test_a_thermal_clock_that_is_off(tmp_path, capsys):
    bag = write_bag(tmp_path / "bag", visible=visible_topic(), thermal=thermal_topic(delay=10**9))
    assert tpf(bag, tmp_path / "clip") == 2
    assert "no stamps within 0.02 s, the nearest are 0.8 s apart" in capsys.readouterr().err
    assert tpf(bag, tmp_path / "clip", "--thermal-offset", "-1") == 0
    assert (tmp_path / "clip/stamps.csv").read_text().splitlines()[1] == f"0,{START},{START + 10**9}"


@pytest.mark.parametrize("kind", ["Detection2D", "Detection2DArray"])
def test_detections_become_boxes(tmp_path, kind):
    stamps = [START + i * 40 * MS + 1 * MS for i in range(6)]
    found = [detection(stamp, 10.5 + i, 8.0, 12.0, 20.0) for i, stamp in enumerate(stamps)]
    if kind == "Detection2DArray":
        found = [make(f"vision_msgs/msg/{kind}", one.header, [one] if i != 2 else []) for i, one in enumerate(found)]
    bag = write_bag(tmp_path / "bag", visible=visible_topic(), thermal=thermal_topic(), target=found)
    assert tpf(bag, tmp_path / "clip", "--gt-topic", "target/image") == 0
    expected = [TrueBox(i, (10.5 + i, 8.0, 12.0, 20.0), True) for i in range(6)]
    if kind == "Detection2DArray":
        expected[2] = TrueBox(2, (0.0, 0.0, 0.0, 0.0), False)
    assert read_true_boxes(tmp_path / "clip/boxes.csv") == expected


def test_the_box_of_an_image_without_a_partner_is_not_given_to_its_neighbour(tmp_path):
    visible, thermal = visible_topic(4, period=16 * MS), thermal_topic(2, period=32 * MS)
    found = [detection(START + i * 16 * MS, 1.0, 2.0, 3.0 + i, 4.0) for i in (1, 2, 3)]
    bag = write_bag(tmp_path / "bag", visible=visible, thermal=thermal, target=found)
    assert tpf(bag, tmp_path / "clip", "--gt-topic", "/target/image") == 0
    expected = [TrueBox(1, (1.0, 2.0, 5.0, 4.0), True)]
    assert read_true_boxes(tmp_path / "clip/boxes.csv") == expected
    file = tmp_path / "boxes.csv"
    file.write_text("frame,x,y,w,h,visible\n" + "".join(f"{i},1,2,{3 + i},4,1\n" for i in (1, 2, 3)))
    assert tpf(bag, tmp_path / "again", "--gt", file) == 0
    assert read_true_boxes(tmp_path / "again/boxes.csv") == expected


def test_thermal_images_are_moved_onto_the_visible_ones_only_if_asked(tmp_path):
    small = write_bag(tmp_path / "small", visible=visible_topic(1), thermal=thermal_topic(1, size=(24, 32)))
    assert tpf(small, tmp_path / "as_it_is") == 0 and tpf(small, tmp_path / "aligned", "--align") == 0
    before, after = (written(tmp_path / name / "thermal")[0] for name in ("as_it_is", "aligned"))
    assert (before.shape, after.shape) == ((24, 32), (48, 64))
    np.testing.assert_array_equal(after[::47, ::63], before[::23, ::31], "the corners: nothing of beyond is in them")
    bag = write_bag(tmp_path / "bag", visible=visible_topic(1), thermal=thermal_topic(1))
    matrix = ["1", "0", "7", "0", "1", "2", "0", "0", "1"]
    assert tpf(bag, tmp_path / "moved", "--align", "--homography", *matrix) == 0
    np.testing.assert_array_equal(written(tmp_path / "moved/thermal")[0][2:, 7:], images(1, 1, np.uint16)[0][:-2, :-7])


def test_boxes_of_a_file_are_checked_against_the_images(tmp_path, capsys):
    bag, boxes = write_bag(tmp_path / "bag", visible=visible_topic(), thermal=thermal_topic()), tmp_path / "b.csv"
    boxes.write_text("frame,x,y,w,h,visible\n0,1,2,9,9,1\n6,1,2,9,9,1\n")
    assert tpf(bag, tmp_path / "clip", "--gt", boxes) == 2
    assert "b.csv has a box for frame 6, the last of 6 frames is 5" in capsys.readouterr().err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["b.csv", "bag"]  # nothing half done is left
    boxes.write_text("frame,x,y,w,h,visible\n0,1,2,9,9,1\n5,1,2,9,9,1\n")
    assert tpf(bag, tmp_path / "clip", "--gt", boxes) == 0
    assert (tmp_path / "clip/boxes.csv").read_text() == boxes.read_text()


def cut_jpeg():
    return make("sensor_msgs/msg/CompressedImage", header(START), "jpeg", np.frombuffer(b"\xff\xd8 cut", np.uint8))


def two(stamp):
    return make("vision_msgs/msg/Detection2DArray", header(stamp), [detection(stamp, 1, 2, 3, 4)] * 2)


@pytest.mark.parametrize(
    ("topics", "said"),
    [
        ({"visible": [raw(START, images(1)[0], "yuv9")]}, "visible/image: message 0 is damaged: encoding 'yuv9'"),
        ({"visible": [raw(0, images(1)[0], "bgr8")]}, "visible/image: message 0 has the stamp 0 ns, which is none"),
        ({"thermal": thermal_topic(2, period=-10 * MS)}, f"message 1 has the stamp {START - 7 * MS} ns, after"),
        ({"thermal": thermal_topic(2, period=0)}, "thermal/image: message 1 has the stamp"),
        ({"visible": [*visible_topic(1), raw(START + 40 * MS, images(1, size=(9, 9))[0], "bgr8")]}, "message 1 is 9x9"),
        ({"target": [two(START)]}, "target/image: message 0 holds 2 detections, needs one target or none"),
        ({"target": [detection(START + 10**9, 1, 2, 3, 4)]}, "none of its 1 stamps is within 0.02 s of a visible"),
        ({"target": [detection(START, np.nan, 2, 3, 4)]}, "target/image: message 0 has the box (nan"),
        ({"visible": [cut_jpeg()]}, "message 0 is damaged: JPEG image of 6 bytes is cut off"),
    ],
)
def test_what_cannot_be_used_is_told_with_its_topic_and_message(tmp_path, capsys, topics, said):
    bag = write_bag(tmp_path / "bag", **{"visible": visible_topic(2), "thermal": thermal_topic(2)} | topics)
    assert tpf(bag, tmp_path / "clip", *(["--gt-topic", "/target/image"] if "target" in topics else [])) == 2
    assert said in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["bag"]
