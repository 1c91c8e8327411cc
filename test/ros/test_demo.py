"""`tpf demo` on a short part of the clip, with an untrained network: what it makes, not how well it tracks."""

import json
import os
import subprocess
import sys


def test_the_demo_makes_everything_it_says(tmp_path, domain_id):
    out = tmp_path / "demo_output"
    arguments = ["--out", str(out), "--model", "tiny", "--param", "weights:=random", "--first", "118", "--last", "160"]
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
    assert summary["iou_live"]["frames"] == 38  # 123..160: after the initial frame 122
