"""`tpf track` as a user runs it: its own process, real files. The model is untrained where no skill is asked for."""

import os
import shutil
import signal
import subprocess
import sys
import time
from itertools import islice
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from rosbags.rosbag2 import StoragePlugin, Writer
from rosbags.typesys import Stores, get_typestore

from tpf_ros import cli
from tpf_ros.boxes_csv import read_boxes
from tpf_ros.ground_truth import compare, read_ground_truth
from tpf_ros.sources import open_source

CLIP = Path(__file__).parents[1] / "data" / "0117_1620"
VISIBLE, THERMAL = str(CLIP / "visible.mp4"), str(CLIP / "thermal.mp4")
TYPES, IMAGE = get_typestore(Stores.ROS2_HUMBLE), "sensor_msgs/msg/Image"
UNTRAINED = ["--model", "tiny", "--weights", "random", "--device", "cpu"]
BOX = ["--init", "300,150,80,200"]
# Without it, threads that wait for each other fill the machine, and sums in another order differ in the last bits.
ENVIRONMENT = os.environ | {"OMP_NUM_THREADS": "1"}


def tpf(*arguments, **options) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "tpf_ros.cli", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, env=ENVIRONMENT, timeout=600, **options)


@pytest.fixture(scope="module")
def frames(tmp_path_factory) -> Path:
    """Folders `visible` and `thermal` with 6 frames of the clip as images without loss, from frame 90 on."""
    root = tmp_path_factory.mktemp("frames")
    for modality in ("visible", "thermal"):
        (root / modality).mkdir()
        for number, item in enumerate(open_source(str(CLIP / f"{modality}.mp4"), modality)):
            if 90 <= number < 96:
                image = item.load()
                image = cv2.cvtColor(image, cv2.COLOR_RGB2BGR) if modality == "visible" else image
                cv2.imwrite(str(root / modality / f"image{number}.png"), image)
    return root


def test_a_video_and_a_folder_of_its_frames_give_the_same_boxes_each_time(tmp_path, frames):
    video = ["--visible", VISIBLE, "--thermal", THERMAL, "--start", 90, "--end", 95]
    folder = ["--visible", frames / "visible", "--thermal", frames / "thermal"]
    for name, source in (("a", video), ("b", video), ("c", folder)):
        done = tpf("track", *source, *BOX, *UNTRAINED, "--out", tmp_path / f"{name}.csv")
        assert done.returncode == 0, done.stderr
        assert "6 frames" in done.stdout
    assert (tmp_path / "a.csv").read_bytes() == (tmp_path / "b.csv").read_bytes()
    first, folder_first = read_boxes(tmp_path / "a.csv"), read_boxes(tmp_path / "c.csv")
    assert [row.frame for row in first] == [90, 91, 92, 93, 94, 95]
    assert [row.stamp_ns for row in first[:2]] == [3_000_000_000, 3_033_333_333]
    assert first[0].box == (300, 150, 80, 200) and first[0].state == "tracking"
    for row, from_folder in zip(first, folder_first, strict=True):
        assert (row.box, row.score, row.state) == (from_folder.box, from_folder.score, from_folder.state)


def test_the_time_between_two_frames_counts(tmp_path, frames):
    (tmp_path / "trusting.yaml").write_text("/**: {ros__parameters: {tracker: {coast_score: 0.0}}}")
    sources = ["--visible", frames / "visible", "--thermal", frames / "thermal", "--end", 1]
    options = [*BOX, *UNTRAINED, "--params-file", tmp_path / "trusting.yaml", "--out", tmp_path / "boxes.csv"]
    changes = []
    for rate in (30, 5):
        assert tpf("track", *sources, "--fps", rate, *options).returncode == 0
        before, after = read_boxes(tmp_path / "boxes.csv")
        changes.append(abs(np.log(after.box[2] / before.box[2])))
    assert changes[1] > 1.8 * changes[0] > 0


def test_both_videos_show_every_frame_and_true_boxes_are_compared(tmp_path, frames):
    done = tpf(
        "track", "--visible", frames / "visible", "--thermal", frames / "thermal", "--end", 2, *UNTRAINED,
        "--gt", write_truth(tmp_path / "gt.csv"), "--out", tmp_path / "boxes.csv",
        "--video", tmp_path / "annotated.mp4", "--fused", tmp_path / "fused.mkv",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "mean IoU" in done.stdout and "in 1 frames" in done.stdout
    rows = read_boxes(tmp_path / "boxes.csv")
    assert [row.frame for row in rows] == [1, 2] and rows[0].box == (300, 150, 80, 200)
    for name, width in (("annotated.mp4", 1280), ("fused.mkv", 640)):
        with av.open(str(tmp_path / name)) as container:
            sizes = [(frame.width, frame.height) for frame in container.decode(video=0)]
        assert sizes == [(width, 480)] * 2


@pytest.mark.parametrize("person", ["B", "D"])
def test_the_model_that_ships_follows_people_whom_smoke_hides_from_the_visible_camera(tmp_path, person):
    truth = CLIP / f"{person}.csv"
    last = max(read_ground_truth(truth))
    inputs = ["--visible", VISIBLE, "--thermal", THERMAL, "--gt", truth, "--end", last, "--device", "cpu"]
    done = tpf("track", *inputs, "--model", "small", "--out", tmp_path / "boxes.csv")
    assert done.returncode == 0, done.stderr
    overlap = compare(read_boxes(tmp_path / "boxes.csv"), read_ground_truth(truth))
    assert overlap.frames > 80 and overlap.mean_iou >= 0.5, done.stdout


def write_truth(path: Path) -> Path:
    path.write_text("frame,x,y,w,h,visible\n0,0,0,0,0,0\n1,300,150,80,200,1\n2,300,150,80,200,1\n")
    return path


def test_a_damaged_frame_in_the_middle_keeps_the_lines_before_it(tmp_path, frames):
    shutil.copytree(frames, tmp_path / "frames")
    path = tmp_path / "frames" / "thermal" / "image93.png"
    path.write_bytes(path.read_bytes()[:1000])
    done = tpf(
        "track", "--visible", tmp_path / "frames/visible", "--thermal", tmp_path / "frames/thermal", *BOX, *UNTRAINED,
        "--out", tmp_path / "boxes.csv", "--video", tmp_path / "annotated.mp4",
    )  # fmt: skip
    assert done.returncode == 2
    assert "image93.png is damaged" in done.stderr and f"3 frames before are in {tmp_path}/boxes.csv" in done.stderr
    assert "Traceback" not in done.stderr
    assert [row.frame for row in read_boxes(tmp_path / "boxes.csv")] == [0, 1, 2]
    assert open_source(str(tmp_path / "annotated.mp4"), "visible").count == 3


@pytest.mark.parametrize("way", [signal.SIGINT, signal.SIGTERM])
def test_a_run_that_is_stopped_leaves_what_it_did(tmp_path, way):
    command = [sys.executable, "-m", "tpf_ros.cli", "track", "--visible", VISIBLE, "--thermal", THERMAL]
    command += [*BOX, *UNTRAINED, "--out", tmp_path / "boxes.csv", "--video", tmp_path / "annotated.mp4"]
    process = subprocess.Popen(command, env=ENVIRONMENT, stderr=subprocess.PIPE, text=True)
    while process.poll() is None and lines(tmp_path / "boxes.csv") < 4:
        time.sleep(0.05)
    process.send_signal(way)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == (130 if way == signal.SIGINT else 143) and "Traceback" not in errors
    rows = read_boxes(tmp_path / "boxes.csv")
    assert len(rows) >= 3 and [row.frame for row in rows] == list(range(len(rows)))
    assert open_source(str(tmp_path / "annotated.mp4"), "visible").count in (len(rows), len(rows) - 1)


def lines(path: Path) -> int:
    return len(path.read_text().splitlines()) if path.exists() else 0


def test_it_needs_no_ros(tmp_path, frames):
    script = """
import sys
ROS = {"rclpy", "builtin_interfaces", "sensor_msgs", "std_msgs", "tpf_interfaces", "cv_bridge"}
class NoRos:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ROS:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, NoRos())
from tpf_ros.cli import main
sys.exit(main(sys.argv[1:]))
"""
    command = [sys.executable, "-c", script, "track", *BOX, *UNTRAINED, "--end", "1", "--out", tmp_path / "boxes.csv"]
    command += ["--visible", frames / "visible", "--thermal", frames / "thermal"]
    done = subprocess.run(command, capture_output=True, text=True, env=ENVIRONMENT, timeout=600)
    assert done.returncode == 0, done.stderr
    assert len(read_boxes(tmp_path / "boxes.csv")) == 2


def test_help_imports_nothing_heavy():
    script = """
import sys
from tpf_ros.cli import main
try:
    main(sys.argv[1:])
finally:
    print("heavy:", *sorted({"torch", "rclpy", "cv2", "av", "rosbags", "matplotlib"} & set(sys.modules)))
"""
    for arguments, allowed in (["--help"], set()), (["track", "--help"], {"av", "cv2", "rosbags"}):
        done = subprocess.run([sys.executable, "-c", script, *arguments], capture_output=True, text=True, timeout=120)
        assert done.returncode == 0 and "usage: tpf" in done.stdout
        assert set(done.stdout.split("heavy:")[1].split()) <= allowed


def write_bag(
    path: Path,
    count: int,
    behind: int = 0,
    black_from: int = 1000,
    thermal_from: int = 0,
    visible_until: int = 1000,
) -> Path:
    """The first `count` pairs of the clip, black from `black_from` on; thermal stamps are `behind` ns behind.

    Of the thermal images every third is there, from `thermal_from` on, if that is not 0, and of the visible ones those
    before `visible_until`.
    """
    with Writer(path, version=9, storage_plugin=StoragePlugin.MCAP) as writer:
        for modality, offset in (("visible", 0), ("thermal", behind)):
            topic = writer.add_connection(f"/{modality}/image", IMAGE, typestore=TYPES)
            shown = min(count, visible_until) if modality == "visible" else count
            for number, item in enumerate(islice(open_source(str(CLIP / f"{modality}.mp4"), modality), shown)):
                if modality == "thermal" and thermal_from and (number < thermal_from or (number - thermal_from) % 3):
                    continue
                recorded = 10**18 + item.stamp_ns
                message = image_message(recorded - offset, item.load() * (number < black_from))
                writer.write(topic, recorded, TYPES.serialize_cdr(message, IMAGE))
    return path


def image_message(stamp: int, image):
    time_type, header_type = TYPES.types["builtin_interfaces/msg/Time"], TYPES.types["std_msgs/msg/Header"]
    header = header_type(time_type(*divmod(stamp, 10**9)), "camera")
    height, width = image.shape[:2]
    encoding = "rgb8" if image.ndim == 3 else "mono8"
    return TYPES.types[IMAGE](header, height, width, encoding, 0, image.strides[0], image.ravel())


def test_a_thermal_clock_that_is_off_is_pointed_out(tmp_path, capsys):
    bag = write_bag(tmp_path / "bag", 20, behind=10 * 10**9)
    (tmp_path / "offset.yaml").write_text("/**: {ros__parameters: {sync: {thermal_offset: 10.0}}}")
    arguments = ["--visible", str(bag), "--thermal", str(bag), *BOX, *UNTRAINED, "--out", str(tmp_path / "boxes.csv")]
    assert cli.main(["track", *arguments]) == 0
    said = capsys.readouterr().out
    assert "without a usable thermal image" in said and "should be near 10.000" in said
    arguments += ["--params-file", str(tmp_path / "offset.yaml"), "--end", "3"]
    assert cli.main(["track", *arguments]) == 0
    said = capsys.readouterr().out
    assert "4 frames" in said and "usable" not in said


def test_thermal_images_without_visible_ones_count_for_their_time_by_the_visible_camera_s_clock(tmp_path):
    boxes, settings = [], "tracker: {coast_score: 0.0}, health: {silent_after: 0.1}"
    for behind in (0, 5):
        bag = write_bag(tmp_path / f"bag{behind}", 12, behind=behind * 10**9, visible_until=5)
        parameters, out = tmp_path / f"{behind}.yaml", tmp_path / f"{behind}.csv"
        parameters.write_text(f"/**: {{ros__parameters: {{{settings}, sync: {{thermal_offset: {behind}.0}}}}}}")
        arguments = ["--visible", str(bag), "--thermal", str(bag), *BOX, *UNTRAINED, "--params-file", str(parameters)]
        assert cli.main(["track", *arguments, "--out", str(out)]) == 0
        boxes.append([row.box for row in read_boxes(out)])
    assert boxes[0] == boxes[1] and len(set(boxes[0])) == 12


def test_frames_of_a_bag_are_those_of_its_visible_topic_whatever_is_paired(tmp_path, capsys):
    bag = write_bag(tmp_path / "bag", 17, thermal_from=4)  # pairs: 4, 7, 10, 13, 16
    (tmp_path / "gt.csv").write_text(
        "frame,x,y,w,h,visible\n" + "".join(f"{n},300,150,80,{200 + n},1\n" for n in range(7, 17))
    )
    arguments = ["track", "--visible", str(bag), "--thermal", str(bag), *UNTRAINED]
    arguments += ["--out", str(tmp_path / "boxes.csv")]
    video = ["--video", str(tmp_path / "annotated.mp4")]
    assert cli.main([*arguments, "--gt", str(tmp_path / "gt.csv"), "--end", "15", *video]) == 0
    assert "in 2 frames" in capsys.readouterr().out
    shown = [item.stamp_ns / 1e9 for item in open_source(str(tmp_path / "annotated.mp4"), "visible")]
    assert shown == pytest.approx([0, 0.1, 0.2])
    rows = read_boxes(tmp_path / "boxes.csv")
    assert [row.frame for row in rows] == [7, 10, 13] and rows[0].box == (300, 150, 80, 207)
    assert [row.stamp_ns for row in rows] == [10**18 + round(number * 1e9 / 30) for number in (7, 10, 13)]
    assert cli.main([*arguments, *BOX]) == 2
    said = capsys.readouterr().err
    assert "frame 0 of" in said and "is in no pair" in said and "can be used is frame 4" in said
    assert cli.main([*arguments, *BOX, "--start", "16"]) == 0
    assert [row.frame for row in read_boxes(tmp_path / "boxes.csv")] == [16]


def test_a_frame_of_another_size_is_named(tmp_path, frames):
    shutil.copytree(frames / "visible", tmp_path / "visible")
    cv2.imwrite(str(tmp_path / "visible/image93.png"), cv2.imread(str(frames / "visible/image93.png"))[::2])
    inputs = ["--visible", tmp_path / "visible", "--thermal", frames / "thermal", "--out", tmp_path / "boxes.csv"]
    done = tpf("track", *inputs, *BOX, *UNTRAINED)
    assert done.returncode == 2 and "visible/image93.png: frame is 640x240" in done.stderr
    assert "3 frames before are in" in done.stderr


def test_while_both_cameras_are_blind_the_state_is_error_and_the_box_stays(tmp_path):
    bag = write_bag(tmp_path / "bag", 12, black_from=5)
    arguments = ["--visible", str(bag), "--thermal", str(bag), *BOX, *UNTRAINED, "--out", str(tmp_path / "boxes.csv")]
    assert cli.main(["track", *arguments]) == 0
    rows = read_boxes(tmp_path / "boxes.csv")
    assert len(rows) == 12 and all(row.state != "error" for row in rows[:5])
    assert [(row.state, row.score, row.box) for row in rows[8:]] == [("error", 0.0, rows[7].box)] * 4


GOOD = {"visible": VISIBLE, "thermal": THERMAL, "init": "300,150,80,200", "out": "boxes.csv"}


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"visible": "nowhere.mp4"}, "visible input nowhere.mp4 does not exist; accepted: a video"),
        ({"thermal": "notes.md"}, "notes.md is not a video that can be read"),
        ({"thermal": "nothing_inside"}, "nothing_inside holds no images"),
        ({"init": "300,150,80"}, "--init: '300,150,80' must be four numbers"),
        ({"init": "300,150,0,80"}, "zero area: width 0"),
        ({"init": "300,150,nan,80"}, "not finite"),
        ({"init": "700,150,20,80"}, "lies outside the 640x480 image"),
        ({"init": None}, "--init x,y,w,h is needed"),
        ({"init": None, "gt": "gt.csv", "start": 500}, "gt.csv has no visible box from frame 500 on"),
        ({"gt": "notes.md"}, "notes.md: the first line must be 'frame,x,y,w,h,visible'"),
        ({"start": "five"}, "--start: 'five' must be the number of a frame"),
        ({"start": 9999}, "frame 9999 is beyond the last one: there are"),
        ({"start": 5, "end": 4}, "--end 4 is before --start 5"),
        ({"fps": 0}, "--fps: '0' must be a number of frames a second, > 0"),
        ({"model": "huge"}, "model is 'huge', must be one of: auto, base, small, tiny"),
        ({"weights": "nowhere.safetensors"}, "weights file nowhere.safetensors does not exist"),
        ({"weights": "notes.md"}, "weights file notes.md is not a readable safetensors file"),
        ({"device": "tpu"}, "unknown device 'tpu'"),
        ({"params-file": "nowhere.yaml"}, "parameter file nowhere.yaml cannot be read"),
        ({"params-file": "typo.yaml"}, "unknown parameter 'sync.max_diference'; did you mean 'sync.max_difference'?"),
        ({"out": "nowhere/boxes.csv"}, "--out nowhere/boxes.csv: the folder nowhere does not exist"),
        ({"out": "nothing_inside"}, "--out nothing_inside cannot be written"),
        ({"video": "out.png"}, "--video out.png must end in one of .mp4"),
        ({"video": "same.mp4", "fused": "same.mp4"}, "--fused same.mp4 is --video too"),
        ({"visible": "copy.mp4", "video": "copy.mp4"}, "--video copy.mp4 is an input too"),
        ({"visible": "copy.mcap:/visible/image", "out": "copy.mcap"}, "--out copy.mcap is an input too"),
        ({"params-file": "typo.yaml", "out": "typo.yaml"}, "--out typo.yaml is an input too"),
        ({"weights": "copy.mp4", "out": "copy.mp4"}, "--out copy.mp4 is an input too"),
        ({"init": "-90,150,80,80"}, "lies outside the 640x480 image"),
    ],
)
def test_unusable_input_is_an_error_that_names_it_and_no_output_is_touched(tmp_path, monkeypatch, capsys, wrong, said):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "notes.md").write_text("# notes\n")
    (tmp_path / "typo.yaml").write_text("/**: {ros__parameters: {sync.max_diference: 1.0}}")
    (tmp_path / "nothing_inside").mkdir()
    write_truth(tmp_path / "gt.csv")
    shutil.copy(VISIBLE, "copy.mp4")
    Path("copy.mcap").touch()
    before = (tmp_path / "copy.mp4").read_bytes()
    (tmp_path / "boxes.csv").write_text("the results of yesterday\n")
    options = {"model": "tiny", "weights": "random", "device": "cpu"} | GOOD | wrong
    arguments = [part for name, value in options.items() if value is not None for part in (f"--{name}", str(value))]
    try:
        status = cli.main(["track", *arguments])
    except SystemExit as stop:  # argparse's own way
        status = stop.code
    assert status == 2
    assert said in " ".join(capsys.readouterr().err.split())
    assert (tmp_path / "boxes.csv").read_text() == "the results of yesterday\n"
    assert (tmp_path / "copy.mp4").read_bytes() == before


def test_an_unknown_verb_is_a_usage_error(capsys):
    with pytest.raises(SystemExit) as stop:
        cli.main(["trakc"])
    assert stop.value.code == 2 and "track" in capsys.readouterr().err
