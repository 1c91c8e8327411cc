"""`tpf replay` as a user runs it: a process, which starts the real node and the player, over real DDS; and offline."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from tpf_ros import cli
from tpf_ros.bag_writer import Stream, write_bag
from tpf_ros.boxes_csv import read_boxes
from tpf_ros.ground_truth import TrueBox
from tpf_ros.recording import Plan
from tpf_ros.sources import open_source

CLIP = Path(__file__).parents[1] / "data/0117_1620"
FIRST, LAST = 90, 134
LATE = 15_000_000  # ns, each thermal image after the visible one


@pytest.fixture(scope="module")
def bag(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("replay") / "bag"
    streams = [
        Stream(open_source(str(CLIP / f"{name}.mp4"), name), f"/uav/{name}/image", "camera")
        for name in ("visible", "thermal")
    ]
    stamps = [(10**18 + i * 33_000_000, 10**18 + i * 33_000_000 + LATE) for i in range(LAST + 1)]
    write_bag(path, streams, FIRST, LAST, stamps)
    return path


BOX = (0.1 + 0.2 + 500, 150.0, 80.0, 240.0)
# In the bags of `labelled`: absent at first, then of two frames in three.
TRUTH = [TrueBox(FIRST + i, BOX if i else (0.0,) * 4, i > 0) for i in range(10) if i % 3 != 2]
UNTRAINED = ["--model", "tiny", "--param", "weights:=random", "--param", "threads:=1"]
# As a robot has them: in its namespace, though the node of a replay is in another one; and with a clock of its own.
ROBOT = """
/**: {ros__parameters: {use_sim_time: true}}
/uav/tpf_tracker: {ros__parameters: {model: tiny, weights: random, threads: 1, tracker: {coast_score: 1e-1}}}
"""


@pytest.fixture(scope="module")
def labelled(tmp_path_factory) -> Path:
    """Folder with `raw`, a bag of ten frames and true boxes, `small`, the same as JPEG in sqlite3, and `cut.mcap`."""
    folder = tmp_path_factory.mktemp("labelled")
    for name, jpeg, storage in (("raw", None, "mcap"), ("small", 95, "sqlite3")):
        streams = [
            Stream(open_source(str(CLIP / f"{camera}.mp4"), camera), f"/{camera}/image", "camera", jpeg=jpeg)
            for camera in ("visible", "thermal")
        ]
        write_bag(folder / name, streams, FIRST, FIRST + 9, boxes=TRUTH, storage=storage)
    (folder / "cut.mcap").write_bytes((folder / "raw/raw.mcap").read_bytes()[:100_000])
    return folder


def start(bag: Path, out: Path, domain_id: int, *more: str, parameters: list[str] = UNTRAINED) -> subprocess.Popen:
    # The slash of a topic may be forgotten.
    arguments = ["--visible", "uav/visible/image", "--thermal", "/uav/thermal/image", "--first-frame", str(FIRST)]
    return start_replay(domain_id, str(bag), *arguments, *parameters, "--out", str(out), *more)


def start_replay(domain_id: int, *arguments: str) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-m", "tpf_ros.cli", "replay", *arguments],
        env={**os.environ, "ROS_DOMAIN_ID": str(domain_id)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def children(pid: int) -> list[int]:
    """Of the process `pid`, and theirs."""
    direct = [int(child) for task in Path(f"/proc/{pid}/task").glob("*/children") for child in task.read_text().split()]
    return direct + [grandchild for child in direct for grandchild in children(child)]


def test_a_looped_replay_initialises_each_pass_and_reports_what_came_out(bag, tmp_path, domain_id):
    truth = CLIP / "A.csv"
    (tmp_path / "robot.yaml").write_text(ROBOT)
    parameters = ["--params-file", str(tmp_path / "robot.yaml"), "--param", "no.such:=1"]  # the node only warns of it
    played = ("--loop", "2", "--rate", "0.5", "--video")
    process = start(bag, tmp_path, domain_id, "--gt", str(truth), *played, parameters=parameters)
    text, log = process.communicate(timeout=300)
    assert process.returncode == 0, log
    summary = json.loads((tmp_path / "summary.json").read_text())
    frames = summary["frames"]
    pairs = LAST - FIRST + 1
    assert (frames["sent"], frames["thermal_sent"], frames["initialisations"]) == (2 * pairs, 2 * pairs, 2)
    # What the node does not process it counts as dropped, so a slow machine changes the numbers, not their sums.
    assert pairs / 2 < frames["paired"] <= frames["visible_received"] <= 2 * pairs  # as at rate 1, 15 ms apart
    frames_or_lone_images = frames["visible_received"] + frames["thermal_received"] - frames["paired"]
    assert frames["processed"] + frames["dropped"] <= frames_or_lone_images
    assert 4 <= frames["results"] <= 2 * pairs + 1  # the second pass's first frame may come once with each target
    assert frames["fused_images"] > 0
    assert summary["sync_error_ms"]["p50"] == summary["sync_error_ms"]["max"] == 15
    latency = summary["latency_ms"]
    assert 0 < latency["p50"] < summary["received_ms"]["p50"]
    # By the stamps alone it would grow by 2 s between these windows, because they run twice as fast as the replay.
    assert abs(latency["last_window"]["p50"] - latency["first_window"]["p50"]) < 1000
    assert "untrained" in summary["node"]["weights"]
    assert summary["iou"]["frames"] > 0
    rows = read_boxes(tmp_path / "boxes.csv")
    assert len(rows) == frames["results"]
    assert {row.frame for row in rows} <= set(range(FIRST, LAST + 1))
    assert (tmp_path / "summary.txt").read_text().strip() == text.strip()
    for name in ("fused.mp4", "annotated.mp4"):
        video = open_source(str(tmp_path / name), "visible")
        assert sum(1 for _ in video) == video.count > 0
    assert open_source(str(tmp_path / "annotated.mp4"), "visible").count == pairs
    assert (tmp_path / "timeline.png").stat().st_size > 0


def test_bags_that_carry_boxes_are_played_one_after_the_other_and_a_bad_one_is_named(labelled, tmp_path, domain_id):
    bags = [str(labelled / name) for name in ("raw", "cut.mcap", "small")]
    process = start_replay(domain_id, *bags, *UNTRAINED, "--rate", "0.2", "--out", str(tmp_path))
    text, log = process.communicate(timeout=300)
    assert process.returncode == 1, log
    assert f"failed: {labelled}/cut.mcap: " in text and f"tpf replay: {labelled}/cut.mcap: " in log
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert (summary["mode"], summary["failed"], summary["mean"]["bags"]) == ("live", 1, 2)
    first, cut, second = summary["bags"]
    assert "is not a rosbag that can be read" in cut["error"]
    for entry in (first, second):
        assert entry["frames"] == 10 and 1 <= entry["results"] <= 10
        assert sum(entry["states"].values()) == entry["results"]
        assert entry["latency_ms"]["p50"] > 0 and entry["iou_live"]["frames"] == 5  # boxes after the initial one
        report = json.loads((tmp_path / entry["folder"] / "summary.json").read_text())
        assert report["iou"] == entry["iou"] and report["frames"]["dropped"] == entry["dropped"]
    rows = text.splitlines()
    assert rows[1].split()[:3] == ["raw", "10", str(first["results"])] and rows[2].startswith("small")


def test_a_camera_that_is_played_slowly_is_not_silent(labelled, tmp_path):
    from tpf_ros.live_replay import node_parameters

    topics = ("/visible/image/compressed", "/thermal/image/compressed")
    plan = Plan(labelled / "small", *topics, BOX, 0, tmp_path, rate=0.1, parameters={"thermal.transport": "raw"})
    others = {"visible.transport": "compressed", "thermal.transport": "raw", "use_sim_time": False}
    assert node_parameters(plan) == {"health.silent_after": 5.0, **others}
    plan = replace(plan, parameters={"health.silent_after": "1"})
    assert node_parameters(plan)["health.silent_after"] == 10.0


NO_ROS = """
import sys
ROS = {"rclpy", "builtin_interfaces", "sensor_msgs", "std_msgs", "diagnostic_msgs", "tpf_interfaces", "cv_bridge"}
class NoRos:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ROS:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, NoRos())
from tpf_ros.cli import main
sys.exit(main(sys.argv[1:]))
"""


def test_an_offline_replay_gives_the_same_boxes_each_time_without_ros_and_those_of_tpf_track(labelled, tmp_path):
    bag, environment = str(labelled / "raw"), {**os.environ, "OMP_NUM_THREADS": "1"}
    assert offline([labelled / "raw"], tmp_path / "a") == 0
    command = ["replay", bag, "--offline", *UNTRAINED, "--video", "--out", str(tmp_path / "b")]
    done = subprocess.run([sys.executable, "-c", NO_ROS, *command], capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "a/summary.txt").read_text().splitlines()[4].startswith("results       9, ")
    (tmp_path / "gt.csv").write_text("frame,x,y,w,h,visible\n1," + ",".join(map(repr, BOX)) + ",1\n")
    command = ["track", "--visible", bag, "--thermal", bag, "--gt", str(tmp_path / "gt.csv"), "--model", "tiny"]
    (tmp_path / "one.yaml").write_text("/**: {ros__parameters: {threads: 1}}")
    command += ["--weights", "random", "--params-file", str(tmp_path / "one.yaml")]
    command += ["--out", str(tmp_path / "track.csv")]
    assert cli.main(command) == 0
    boxes = (tmp_path / "a/boxes.csv").read_bytes()
    assert boxes == (tmp_path / "b/boxes.csv").read_bytes() == (tmp_path / "track.csv").read_bytes()
    rows = read_boxes(tmp_path / "a/boxes.csv")
    assert [row.frame for row in rows] == list(range(1, 10)) and rows[0].box == pytest.approx(BOX, abs=1e-3)
    summary = json.loads((tmp_path / "b/summary.json").read_text())
    assert (summary["mode"], summary["frames"]["dropped"], summary["frames"]["sent"]) == ("offline", 0, 10)
    assert summary["node"]["weights"] == "random (source: random, untrained)"
    assert summary["iou"]["frames"] == 5 and "iou_live" not in summary
    assert summary["latency_ms"]["p50"] > 0
    assert open_source(str(tmp_path / "b/annotated.mp4"), "visible").count == 9
    assert sorted(path.name for path in (tmp_path / "a").iterdir()) == OFFLINE_FILES


OFFLINE_FILES = ["boxes.csv", "summary.json", "summary.txt", "timeline.png"]


def offline(bags: list[Path], out: Path, *more: str) -> int:
    return cli.main(["replay", *map(str, bags), "--offline", *UNTRAINED, "--out", str(out), *more])


def test_several_bags_offline_with_boxes_of_files(labelled, tmp_path, capsys):
    twin = tmp_path / "twin/raw"
    shutil.copytree(labelled / "raw", twin)
    (tmp_path / "gt").mkdir()
    for name, shift in (("raw", 0.0), ("raw_2", 3.0)):
        rows = [f"{FIRST + i},{BOX[0] + shift},150,80,240,1" for i in (2, 3, 4)]
        (tmp_path / f"gt/{name}.csv").write_text("\n".join(["frame,x,y,w,h,visible", *rows]) + "\n")
    bags = [labelled / "raw", twin, labelled / "small"]
    more = ["--gt", str(tmp_path / "gt"), "--first-frame", str(FIRST)]
    assert offline(bags, tmp_path / "out", *more) == 1
    said = capsys.readouterr()
    assert f"{labelled}/small: {tmp_path}/gt/small.csv cannot be read" in said.err
    summary = json.loads((tmp_path / "out/summary.json").read_text())
    assert [entry["folder"] for entry in summary["bags"]] == ["raw", "raw_2", "small"]
    assert [entry.get("results") for entry in summary["bags"]] == [8, 8, None]
    first, second = (read_boxes(tmp_path / "out" / name / "boxes.csv") for name in ("raw", "raw_2"))
    assert first[0].frame == FIRST + 2 and second[0].box[0] == pytest.approx(first[0].box[0] + 3.0, abs=2e-3)
    success = [entry["iou"]["success"] for entry in summary["bags"][:2]]
    assert summary["mean"]["success"] == pytest.approx(sum(success) / 2, abs=1e-4)
    assert [entry["iou"]["frames"] for entry in summary["bags"][:2]] == [2, 2]
    assert f"{summary['mean']['success']:.3f}" in said.out.splitlines()[3]


def test_a_report_that_cannot_be_written_is_named_and_the_next_bag_goes_on(labelled, tmp_path):
    (tmp_path / "raw/boxes.csv").mkdir(parents=True)
    assert offline([labelled / "raw", labelled / "small"], tmp_path) == 1
    first, second = json.loads((tmp_path / "summary.json").read_text())["bags"]
    assert "raw/boxes.csv" in first["error"] and second["results"] == 9


def test_a_compressed_bag_needs_no_arguments_either_and_a_box_on_the_command_line_wins(labelled, tmp_path):
    numbered = ["--init", "100,100,50,60@94", "--first-frame", str(FIRST)]
    assert offline([labelled / "small"], tmp_path, *numbered) == 0
    rows = read_boxes(tmp_path / "boxes.csv")
    assert rows[0].frame == FIRST + 4 and rows[0].box == (100, 100, 50, 60)
    assert json.loads((tmp_path / "summary.json").read_text())["iou"]["frames"] == 3  # 96, 97 and 99


@pytest.mark.parametrize("when", ["starting", "playing"])
def test_ctrl_c_ends_the_node_and_the_player(bag, tmp_path, domain_id, when):
    process = start(bag, tmp_path, domain_id, "--init", "500,150,80,240", "--loop", "0", "--duration", "600")
    pids = []
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and len(pids) < (1 if when == "starting" else 2) and process.poll() is None:
        pids = children(process.pid)
        time.sleep(0.5)
    process.send_signal(signal.SIGINT)
    _, log = process.communicate(timeout=60)
    assert process.returncode == 130, log
    assert pids and not any(Path(f"/proc/{pid}").exists() for pid in pids)


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["--init", "1,2,3,4", "--param", "model:=huge"], "model is 'huge'"),
        (["--init", "9000,9000,30,30"], "outside"),
        (["--init", "500,150,80,240", "--param", "weights:=/nowhere.safetensors"], "/nowhere.safetensors"),
    ],
)
def test_what_the_node_refuses_is_told_and_the_exit_status_says_so(bag, tmp_path, domain_id, arguments, named):
    process = start(bag, tmp_path, domain_id, *arguments)
    _, log = process.communicate(timeout=120)
    assert process.returncode == 1
    assert named in log
    assert "Traceback" not in log.split("the end of")[0]


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["--init", "1,2,3"], "x,y,w,h"),
        (["--init", "1,2,3,4", "--visible", "/rgb"], "/rgb"),
        (["--init", "1,2,3,4", "--visible", "uav/vsible/image"], "did you mean /uav/visible/image?"),
        (["--gt-topic", "/uav/visible/image"], "/uav/visible/image is of type sensor_msgs/msg/Image, true boxes"),
        (["--gt-topic", "/truth"], "has no topic /truth; topics in it: /uav/"),
        (["--gt", "none.yaml", "--gt-topic", "/truth"], "from a file or from a topic, not from both"),
        (["--init", "1,2,3,4", "--offline", "--rate", "2"], "--rate cannot be given with --offline"),
        (["--init", "9000,9000,30,30", "--offline", "--model", "tiny"], "lies outside the 640x480 image"),
        (["--init", "1,2,3,4", "--offline", "--param", "no.such:=1"], "unknown parameter 'no.such'"),
        (["other_bag", "--gt", "none.yaml"], "--gt none.yaml must be a folder, of one BAG.csv for each of the 2 bags"),
        (["other_bag", "--init", "1,2,3"], "--init '1,2,3' must be"),
        (["--init", "1,2,3,4@45"], "has 0..44"),
        (["--gt", "nowhere.csv"], "nowhere.csv"),
        ([], "--init"),
        (["--init", "1,2,3,4", "--rate", "0"], "--rate"),
        (["--init", "1,2,3,4", "--rate", "nan"], "--rate is nan, must be > 0 and at most 2"),
        (["--init", "1,2,3,4", "--param", "model:=[1"], "--param 'model:=[1': '[1' is not YAML"),
        (["--gt", "flat.csv"], "the true box of frame 7 is 0x9, must be > 0 where it is visible"),
        (["--init", "1,2,3,4", "--loop", "0"], "--duration"),
        (["--init", "1,2,3,4", "--duration", "nan"], "--duration"),
        (["--init", "1,2,3,4", "--thermal", "uav/visible/image"], "--thermal are both /uav/visible/image"),
        (["--init", "1,2,3,4", "--namespace", "a b"], "--namespace /a b cannot be one"),
        (["--init", "-5,2,0,4"], "--init '-5,2,0,4' must be"),
        (["--gt", "."], ". cannot be read"),
        (["--gt", "none.yaml"], "none.yaml: the first line must be"),
        (["--init", "1,2,3,4", "--params-file", "none.yaml"], "none.yaml sets nothing for tpf_tracker"),
        (["--init", "1,2,3,4", "--out", "none.yaml"], "--out none.yaml cannot be made a folder: File exists"),
    ],
)
def test_unusable_arguments_are_named_before_anything_starts(bag, tmp_path, monkeypatch, capsys, arguments, named):
    monkeypatch.chdir(tmp_path)
    Path("none.yaml").write_text("other_node: {ros__parameters: {a: 1}}")
    Path("flat.csv").write_text("frame,x,y,w,h,visible\n5,0,0,0,0,0\n7,5,5,0,9,1\n")
    topics = ["--visible", "/uav/visible/image", "--thermal", "/uav/thermal/image"]
    assert cli.main(["replay", "--out", str(tmp_path / "out"), *topics, str(bag), *arguments]) == 2
    assert named in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
