"""Videos, folders and rosbags read as images with stamps, and what is said of those that cannot be read."""

import shutil
import struct
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from rosbags.rosbag2 import CompressionFormat, CompressionMode, StoragePlugin, Writer
from rosbags.typesys import Stores, get_typestore

from tpf_ros.parameters import Settings
from tpf_ros.offline import read_moments
from tpf_ros.sources import SourceError, open_source

CLIP = Path(__file__).parents[1] / "data" / "0117_1620"
TYPES = get_typestore(Stores.ROS2_HUMBLE)
SECOND = 10**9
START = 1_700_000_000 * SECOND


def picture(number: int, width: int = 64, height: int = 48) -> np.ndarray:
    """(H, W, 3) uint8 RGB, different for each number, without symmetry."""
    row, column = np.mgrid[:height, :width]
    return np.stack([column * 2, row * 3 + number, np.full_like(row, number * 5)], axis=-1).astype(np.uint8)


def write_video(path: Path, images: list[np.ndarray], pixel_format: str = "bgr0", pts: list[int] | None = None) -> Path:
    """Losslessly; `pts` in ms, 40 ms apart if None."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=25)
        stream.pix_fmt, stream.time_base = pixel_format, Fraction(1, 1000)
        stream.codec_context.time_base = Fraction(1, 1000)
        stream.height, stream.width = images[0].shape[:2]
        for number, image in enumerate(images):
            frame = av.VideoFrame.from_ndarray(image, format="rgb24" if image.ndim == 3 else "gray16le")
            frame.pts, frame.time_base = pts[number] if pts else 40 * number, Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def write_bag(
    path: Path,
    topics: dict[str, list[tuple]],
    storage: StoragePlugin = StoragePlugin.MCAP,
    compression: CompressionMode = CompressionMode.NONE,
) -> Path:
    """topics: name -> [(stamp, arrival, encoding or "png", image)], ns; images are written as they are."""
    writer = Writer(path, version=9, storage_plugin=storage)
    writer.set_compression(compression, CompressionFormat.ZSTD)
    with writer:
        entries = []
        for topic, messages in topics.items():
            kind = "CompressedImage" if messages[0][2] == "png" else "Image"
            connection = writer.add_connection(topic, f"sensor_msgs/msg/{kind}", typestore=TYPES)
            for stamp, arrival, encoding, image in messages:
                entries.append((arrival, connection, message(stamp, encoding, image)))
        for arrival, connection, content in sorted(entries, key=lambda entry: entry[0]):
            writer.write(connection, arrival, TYPES.serialize_cdr(content, connection.msgtype))
    return path


def message(stamp: int, encoding: str, image: np.ndarray):
    time = TYPES.types["builtin_interfaces/msg/Time"](stamp // SECOND, stamp % SECOND)
    header = TYPES.types["std_msgs/msg/Header"](time, "camera")
    if encoding == "png":
        return TYPES.types["sensor_msgs/msg/CompressedImage"](header, "png", cv2.imencode(".png", image)[1].ravel())
    pixels = np.ascontiguousarray(image)
    data = pixels.view(np.uint8).ravel()
    return TYPES.types["sensor_msgs/msg/Image"](header, *image.shape[:2], encoding, 0, pixels.strides[0], data)


def stamps(count: int, rate: float, first: int = START) -> list[int]:
    return [first + round(number * SECOND / rate) for number in range(count)]


def two_cameras(visible: list[int], thermal: list[int]) -> dict[str, list[tuple]]:
    return {
        "/cam/visible": [(stamp, stamp, "rgb8", picture(number % 50)) for number, stamp in enumerate(visible)],
        "/cam/thermal": [(stamp, stamp, "mono8", picture(number % 50)[..., 1]) for number, stamp in enumerate(thermal)],
    }


def test_the_clips_frames_and_stamps_are_all_there():
    for modality, shape in (("visible", (480, 640, 3)), ("thermal", (480, 640))):
        source = open_source(str(CLIP / f"{modality}.mp4"), modality)
        items = list(source)
        assert len(items) == source.count and source.rate == pytest.approx(30)
        assert [item.stamp_ns for item in items[:4]] == [0, 33333333, 66666667, 100000000]
        assert items[-1].load().shape == shape


def test_a_videos_pixels_are_rgb_and_its_uneven_stamps_exact(tmp_path):
    pts = [0, 7, 100, 101, 5000]
    source = open_source(str(write_video(tmp_path / "a.mkv", [picture(n) for n in range(5)], pts=pts)), "visible")
    for number, item in enumerate(source):
        assert item.stamp_ns == pts[number] * 1_000_000
        assert (item.load() == picture(number)).all()


def test_a_16_bit_thermal_video_keeps_its_depth(tmp_path):
    image = np.arange(48 * 64, dtype=np.uint16).reshape(48, 64) + 20000
    [item] = open_source(str(write_video(tmp_path / "t.mkv", [image], "gray16le")), "thermal")
    assert item.load().dtype == np.uint16 and (item.load() == image).all()


def test_a_video_that_was_filmed_upright_is_turned(tmp_path):
    path = tmp_path / "phone.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        container.mux(stream.encode(av.VideoFrame.from_ndarray(picture(0), format="rgb24")))
        container.mux(stream.encode(None))
    flat = next(iter(open_source(str(path), "visible"))).load()
    data = bytearray(path.read_bytes())
    matrix = data.index(b"tkhd") + 4 + 40
    clockwise = (0, 1 << 16, 0, -1 << 16, 0, 0, 0, 0, 1 << 30)
    data[matrix : matrix + 36] = struct.pack(">9i", *clockwise)
    path.write_bytes(data)
    turned = next(iter(open_source(str(path), "visible"))).load()
    assert (turned == np.rot90(flat, -1)).all()


def test_a_folder_is_read_in_natural_order_and_other_files_are_left_aside(tmp_path):
    names = ["2.png", "10.PNG", "1.png", "3.png"]
    for name in names:
        number = int(name.split(".")[0])
        cv2.imwrite(str(tmp_path / name), cv2.cvtColor(picture(number), cv2.COLOR_RGB2BGR))
    for name in ("notes.txt", ".hidden.png", "Thumbs.db"):
        (tmp_path / name).write_text("no image")
    (tmp_path / "4.png").mkdir()
    items = list(open_source(str(tmp_path), "visible", folder_rate=10))
    assert [item.stamp_ns for item in items] == [0, SECOND // 10, SECOND // 5, 3 * SECOND // 10]
    for item, number in zip(items, (1, 2, 3, 10)):
        assert (item.load() == picture(number)).all()


@pytest.mark.parametrize("bits", [10, 12, 14])
def test_a_thermal_video_of_fewer_bits_keeps_its_counts(tmp_path, bits):
    image = (np.arange(48 * 64, dtype=np.uint16).reshape(48, 64) * 5) % 2**bits
    path = tmp_path / "t.mkv"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=30)
        stream.width, stream.height, stream.pix_fmt = 64, 48, f"gray{bits}le"
        frame = av.VideoFrame(64, 48, stream.pix_fmt)
        plane = frame.planes[0]
        rows = np.frombuffer(plane, np.uint16).reshape(48, plane.line_size // 2)
        rows[:, :64] = image
        container.mux([*stream.encode(frame), *stream.encode()])
    [item] = open_source(str(path), "thermal")
    assert item.load().dtype == np.uint16 and (item.load() == image).all()


@pytest.mark.parametrize("suffix", [".png", ".tiff"])
def test_a_folder_of_16_bit_thermal_images_keeps_their_counts(tmp_path, suffix):
    image = (picture(3)[..., 0].astype(np.uint16) << 6) + 7
    cv2.imwrite(str(tmp_path / f"a{suffix}"), image)
    [item] = open_source(str(tmp_path), "thermal")
    assert item.load().dtype == np.uint16 and (item.load() == image).all()


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".bmp", ".tiff"])
def test_a_frame_that_is_cut_off_is_named(tmp_path, suffix):
    noise = np.random.default_rng(0).integers(0, 255, (48, 64, 3), dtype=np.uint8)
    path = tmp_path / f"frame7{suffix}"
    cv2.imwrite(str(path), noise)
    data = path.read_bytes()
    for rest in (data[: len(data) * 2 // 3], b""):
        path.write_bytes(rest)
        [item] = open_source(str(tmp_path), "visible")
        with pytest.raises(SourceError, match=f"frame7{suffix} is damaged"):
            item.load()


@pytest.mark.parametrize("storage", list(StoragePlugin))
def test_a_bags_messages_are_decoded_as_they_were_recorded(tmp_path, storage):
    counts = (picture(1)[..., 0].astype(np.uint16) << 5) + 3
    path = write_bag(
        tmp_path / "bag",
        {
            "/a/visible": [(START + n, START + 10 * n, "bgr8", picture(n)[..., ::-1]) for n in range(3)],
            "/a/thermal": [(START + n, START + 10 * n, "16UC1", counts + n) for n in range(3)],
            "/b/thermal/compressed": [(START + 5, START + 5, "png", counts)],
        },
        storage,
    )
    visible = list(open_source(f"{path}:/a/visible", "visible"))
    assert [(item.stamp_ns, item.arrival_ns) for item in visible] == [(START + n, START + 10 * n) for n in range(3)]
    assert all((item.load() == picture(n)).all() for n, item in enumerate(visible))
    thermal = list(open_source(f"{path}:a/thermal", "thermal"))  # the slash may be forgotten
    assert all((item.load() == counts + n).all() for n, item in enumerate(thermal))
    [compressed] = open_source(f"{path}:/b/thermal/compressed", "thermal")
    assert (compressed.load() == counts).all()


def test_a_bag_is_found_as_folder_as_file_and_without_its_metadata(tmp_path):
    path = write_bag(tmp_path / "bag", two_cameras(stamps(3, 30), stamps(3, 30)))
    [file] = path.glob("*.mcap")
    assert open_source(f"{file}:/cam/visible", "visible").count == 3
    (path / "metadata.yaml").unlink()
    assert open_source(f"{path}:/cam/visible", "visible").count == 3


def test_a_topic_may_be_left_out_where_only_one_fits(tmp_path):
    path = write_bag(tmp_path / "two", two_cameras(stamps(3, 30), stamps(2, 30)))
    assert open_source(str(path), "thermal").name.endswith(":/cam/thermal")
    one_image = [(START, START, "mono8", picture(0)[..., 0])]
    only = write_bag(tmp_path / "one", {"/image_raw": one_image})
    assert open_source(str(only), "thermal").name.endswith(":/image_raw")
    lone = write_bag(tmp_path / "lone", {"/uav/visible/image": one_image})
    with pytest.raises(SourceError, match=r"lone needs a topic: --thermal TOPIC,.*: /uav/visible/image \(1\)"):
        open_source(str(lone), "thermal")
    many = write_bag(tmp_path / "many", {"/camera0": one_image, "/camera1": one_image})
    with pytest.raises(SourceError, match=r"many:TOPIC; image topics in it: /camera0 \(1\), /camera1 \(1\)"):
        open_source(str(many), "visible")
    with pytest.raises(SourceError, match=r"no image topic /nothing.*/cam/visible \(3\), /cam/thermal \(2\)"):
        open_source(f"{path}:/nothing", "visible")


def test_one_topic_cannot_be_both_cameras(tmp_path):
    path = write_bag(tmp_path / "bag", {"/image_raw": [(START, START, "mono8", picture(0)[..., 0])]})
    visible, thermal = (open_source(str(path), modality) for modality in ("visible", "thermal"))
    with pytest.raises(SourceError, match="both .*bag:/image_raw"):
        read_moments(visible, thermal, Settings())


@pytest.mark.parametrize("storage", list(StoragePlugin))
def test_a_topics_rate_is_its_own_whatever_else_the_bag_holds(tmp_path, storage):
    topics = two_cameras(stamps(31, 30, START + SECOND), stamps(2, 0.2, START + 2 * SECOND))
    topics["/other"] = [(0, START + 20 * number * SECOND, "mono8", picture(0)[..., 0]) for number in range(3)]
    path = write_bag(tmp_path / "bag", topics, storage)
    assert open_source(str(path), "visible").rate == pytest.approx(30)
    assert open_source(str(path), "thermal").rate == pytest.approx(0.2)


@pytest.mark.parametrize("compression", list(CompressionMode))
def test_a_bag_damaged_in_the_middle_is_an_error_that_names_it(tmp_path, compression):
    path = write_bag(tmp_path / "bag", two_cameras(stamps(30, 30), stamps(30, 30)), compression=compression)
    [file] = path.glob("*.mcap*")
    data = bytearray(file.read_bytes())
    data[40:4040] = bytes(4000)
    file.write_bytes(data)
    with pytest.raises(SourceError, match="bag.*(damaged|cannot be read|that can be read)"):
        for item in open_source(f"{path}:/cam/visible", "visible"):
            item.load()


def make_unusable(folder: Path) -> dict[str, str]:
    """Inputs by what is said of them."""
    (folder / "text.mp4").write_text("this is not a video")
    (folder / "empty.mp4").touch()
    (folder / "cut.mp4").write_bytes((CLIP / "visible.mp4").read_bytes()[:100_000])
    (folder / "folder").mkdir()
    (folder / "folder" / "notes.txt").touch()
    (folder / "bad.mcap").write_bytes(b"\x89MCAP0\r\n" + bytes(100))
    (folder / "empty.db3").touch()
    shutil.copy(CLIP / "visible.mp4", folder)
    return {
        "nowhere.mp4": "does not exist; accepted: a video, a folder of frames, or a rosbag",
        "nowhere.mcap:/topic": "nowhere.mcap does not exist",
        "text.mp4": "is not a video that can be read",
        "empty.mp4": "is not a video that can be read",
        "cut.mp4": "is not a video that can be read",
        "folder": "holds no images; accepted: .png",
        "bad.mcap": "is not a rosbag that can be read",
        "empty.db3": "is not a rosbag that can be read",
        "visible.mp4:/topic": "is not a rosbag, it has no topics",
    }


def test_each_unusable_input_is_named_with_the_reason(tmp_path):
    for name, reason in make_unusable(tmp_path).items():
        with pytest.raises(SourceError) as error:
            open_source(str(tmp_path / name), "visible")
        assert str(tmp_path / name).split(":")[0] in str(error.value) and reason in str(error.value)


def test_a_video_damaged_in_the_middle_is_an_error_with_the_frames_number(tmp_path):
    path = write_video(tmp_path / "a.mkv", [picture(n) for n in range(20)])
    data = bytearray(path.read_bytes())
    data[len(data) // 2 :] = bytes(len(data) - len(data) // 2)
    path.write_bytes(data)
    with pytest.raises(SourceError, match="a.mkv"):
        visible = open_source(str(path), "visible")
        list(read_moments(visible, open_source(str(CLIP / "thermal.mp4"), "thermal"), Settings()))


def read(path: Path, **sync) -> list:
    """(visible stamp, whether each image is there) of each pair of a bag of `two_cameras`."""
    settings = Settings.from_values({f"sync.{name}": value for name, value in sync.items()})
    sources = open_source(f"{path}:/cam/visible", "visible"), open_source(f"{path}:/cam/thermal", "thermal")
    return list(read_moments(*sources, settings))


def test_different_rates_are_paired_by_stamp(tmp_path):
    visible, thermal = stamps(60, 30), stamps(18, 9, START + 3_000_000)
    moments = read(write_bag(tmp_path / "bag", two_cameras(visible, thermal)))
    expected = [min(visible, key=lambda stamp: abs(stamp - wanted)) for wanted in thermal]
    found = [moment.item.stamp_ns for moment in moments if moment.frame.thermal is not None]
    assert found == expected
    assert [visible[moment.number] for moment in moments] == [moment.item.stamp_ns for moment in moments]
    for moment in moments[:10]:
        number = thermal.index(min(thermal, key=lambda stamp: abs(stamp - moment.item.stamp_ns)))
        assert (moment.frame.thermal == picture(number)[..., 1]).all()


def test_a_thermal_clock_that_is_off_is_put_right_by_the_offset(tmp_path):
    visible = stamps(40, 30)
    path = write_bag(tmp_path / "bag", two_cameras(visible, [stamp - 40_000_000 for stamp in visible]))
    moments = read(path, thermal_offset=0.04)
    assert [moment.item.stamp_ns for moment in moments] == visible
    for number, moment in enumerate(moments):
        assert (moment.frame.visible == picture(number)).all()
        assert (moment.frame.thermal == picture(number)[..., 1]).all()


def test_a_camera_that_falls_silent_leaves_the_other_one(tmp_path):
    visible = stamps(60, 30)
    moments = read(write_bag(tmp_path / "bag", two_cameras(visible, visible[:20])))
    assert all(moment.usable.thermal is not None for moment in moments[:20])
    alone = moments[20:]
    assert len(alone) >= 20 and all(moment.frame.thermal is None for moment in alone)
    assert [visible[moment.number] for moment in moments] == [moment.item.stamp_ns for moment in moments]


def test_a_thermal_image_alone_has_the_number_of_the_visible_one_before_it(tmp_path):
    thermal = stamps(60, 30)
    moments = read(write_bag(tmp_path / "bag", two_cameras(thermal[20:30], thermal)))
    assert [moment.number for moment in moments if moment.frame.visible is not None] == list(range(10))
    assert {moment.number for moment in moments if moment.item.stamp_ns < thermal[20]} == {-1}
    assert {moment.number for moment in moments if moment.item.stamp_ns > thermal[29]} == {9}


@pytest.mark.parametrize("rate", [1, 1.5, 10])
def test_every_image_of_a_short_and_slow_bag_is_used(tmp_path, rate):
    times = stamps(5, rate)
    moments = read(write_bag(tmp_path / "bag", two_cameras(times, [time + 3_000_000 for time in times])))
    assert [moment.item.stamp_ns for moment in moments] == times
    assert all(moment.usable.visible is not None and moment.usable.thermal is not None for moment in moments)


def test_a_black_camera_is_not_used_until_it_sees_again(tmp_path):
    times = stamps(40, 30)
    topics = two_cameras(times, times)
    for number in range(10, 20):
        topics["/cam/visible"][number] = (times[number], times[number], "rgb8", np.zeros((48, 64, 3), np.uint8))
    moments = read(write_bag(tmp_path / "bag", topics))
    used = [moment.usable.visible is not None for moment in moments]
    assert used[:10] == [True] * 10 and not any(used[13:20]) and used[26:] == [True] * 14
    assert all(moment.usable.thermal is not None for moment in moments)


def test_unstamped_messages_are_in_no_pair(tmp_path):
    path = write_bag(
        tmp_path / "bag",
        {
            f"/cam/{name}": [(0, START + n * SECOND // 30, encoding, image) for n in range(30)]
            for name, encoding, image in (("visible", "rgb8", picture(0)), ("thermal", "mono8", picture(0)[..., 0]))
        },
    )
    assert read(path) == []


def test_unequal_counts_are_an_error_with_both(tmp_path):
    visible = open_source(str(write_video(tmp_path / "v.mkv", [picture(n) for n in range(5)])), "visible")
    thermal = open_source(str(write_video(tmp_path / "t.mkv", [picture(n) for n in range(4)])), "thermal")
    with pytest.raises(SourceError, match=r"v\.mkv has 5 images and .*t\.mkv has 4.*must be equal"):
        read_moments(visible, thermal, Settings())


def folder(path: Path, names: list[str]) -> Path:
    path.mkdir()
    for name in names:
        cv2.imwrite(str(path / f"{name}.png"), picture(0))
    return path


@pytest.mark.parametrize(
    ("visible", "thermal", "differ"),
    [
        (["v_001", "v_002", "v_003", "v_005"], ["t_001", "t_002", "t_004", "t_005"], "v_003.png and .*t_004.png are a"),
        (["v_001", "v_002", "v_004", "v_005"], ["t0_a", "t1_a", "t3_a", "t4_a"], None),  # missing in both
        (["170000000033", "170000000067", "170000000100"], ["170000000035", "170000000064", "170000000095"], None),
        (["1", "2", "3"], ["170000000035", "170000000064", "170000000095"], None),
        (["a", "b"], ["1", "2"], None),
    ],
)
def test_folders_of_numbered_frames_must_have_the_same_gaps(tmp_path, visible, thermal, differ):
    paths = folder(tmp_path / "visible", visible), folder(tmp_path / "thermal", thermal)
    sources = open_source(str(paths[0]), "visible"), open_source(str(paths[1]), "thermal")
    if differ is None:
        assert len(list(read_moments(*sources, Settings()))) == len(visible)
        return
    with pytest.raises(SourceError, match=differ):
        read_moments(*sources, Settings())
