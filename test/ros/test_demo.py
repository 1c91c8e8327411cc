"""`tpf demo` on a short part of the clip, with an untrained network: what it makes, not how well it tracks."""

import json
import os
import subprocess
import sys

import pytest

from tpf_ros import cli


def test_the_demo_makes_everything_it_says(tmp_path, domain_id):
    out = tmp_path / "demo_output"
    arguments = ["--out", str(out), "--first", "118", "--last", "160"]
    arguments += ["--param", "weights:=random", "--param", "device:=cpu"]
    process = subprocess.run(
        [sys.executable, "-m", "tpf_ros.cli", "demo", *arguments],
        env={**os.environ, "ROS_DOMAIN_ID": str(domain_id)},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert process.returncode == 0, process.stderr
    for name in ("annotated.mp4", "fused.mp4", "boxes.csv", "summary.txt", "timeline.png"):
        assert (out / name).stat().st_size > 0
        assert name in process.stdout
    summary = json.loads((out / "summary.json").read_text())
    assert summary["frames"]["sent"] == 43
    assert summary["node"]["model"] == "tiny"
    assert summary["iou_live"]["frames"] == 38  # 123..160: after the initial frame 122


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["--rate", "inf"], "--rate is inf, must be > 0 and at most 2"),
        (["--first", "-3"], "--first is -3, must be >= 0"),
        (["--clip", "."], "--clip . is not the clip's folder: B.csv cannot be read"),
        (["--out", "a_file"], "--out a_file cannot be made a folder: File exists"),
    ],
)
def test_unusable_arguments_are_named_before_anything_starts(tmp_path, monkeypatch, capsys, arguments, named):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a_file").touch()
    assert cli.main(["demo", *arguments]) == 2
    assert named in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["a_file"]
