"""`tpf replay` as a user runs it: its own process, which starts the real node and the player, over real DDS."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tpf_ros import cli
from tpf_ros.bag_writer import Stream, write_bag
from tpf_ros.boxes_csv import read_boxes
from tpf_ros.sources import open_source

CLIP = Path(__file__).parents[1] / "data/0117_1620"
FIRST, LAST = 90, 134


@pytest.fixture(scope="module")
def bag(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("replay") / "bag"
    streams = [
        Stream(open_source(str(CLIP / f"{name}.mp4"), name), f"/uav/{name}/image", "camera")
        for name in ("visible", "thermal")
    ]
    write_bag(path, streams, FIRST, LAST)
    return path


def start(bag: Path, out: Path, domain_id: int, *more: str) -> subprocess.Popen:
    # The slash of a topic may be forgotten.
    arguments = ["--visible", "uav/visible/image", "--thermal", "/uav/thermal/image", "--first-frame", str(FIRST)]
    arguments += ["--model", "tiny", "--param", "weights:=random", "--param", "threads:=1", "--out", str(out), *more]
    return subprocess.Popen(
        [sys.executable, "-m", "tpf_ros.cli", "replay", str(bag), *arguments],
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
    unknown = ("--param", "no.such:=1")  # of which the node only warns
    process = start(bag, tmp_path, domain_id, "--gt", str(truth), "--loop", "2", "--rate", "0.5", "--video", *unknown)
    text, log = process.communicate(timeout=300)
    assert process.returncode == 0, log
    summary = json.loads((tmp_path / "summary.json").read_text())
    frames = summary["frames"]
    pairs = LAST - FIRST + 1
    assert (frames["sent"], frames["thermal_sent"], frames["initialisations"]) == (2 * pairs, 2 * pairs, 2)
    # What the node does not process it counts as dropped, so a slow machine changes the numbers, not their sums.
    assert frames["paired"] <= frames["visible_received"] <= 2 * pairs
    frames_or_lone_images = frames["visible_received"] + frames["thermal_received"] - frames["paired"]
    assert frames["processed"] + frames["dropped"] <= frames_or_lone_images
    assert 4 <= frames["results"] <= 2 * pairs + 1  # the second pass's first frame may come once with each target
    assert frames["fused_images"] > 0
    assert summary["latency_ms"]["p50"] > 0
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
        (["--init", "1,2,3,4@45"], "has 0..44"),
        (["--gt", "nowhere.csv"], "nowhere.csv"),
        ([], "--init"),
        (["--init", "1,2,3,4", "--rate", "0"], "--rate"),
        (["--init", "1,2,3,4", "--rate", "nan"], "--rate is nan, must be > 0 and finite"),
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
    topics = ["--visible", "/uav/visible/image", "--thermal", "/uav/thermal/image"]
    assert cli.main(["replay", str(bag), "--out", str(tmp_path / "out"), *topics, *arguments]) == 2
    assert named in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
