"""The report's numbers against ones counted by hand."""

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tpf_ros.boxes_csv import read_boxes
from tpf_ros.recording import Plan, Published, Recording, Sent
from tpf_ros.report import write_report
from tpf_ros.scores import fit, statistics, success_rate

SECOND, MS = 10**9, 10**6
NAN = (math.nan,) * 4


def recording(out: Path, published: list[Published], frames: int = 10) -> Recording:
    """Visible images at 10 Hz from frame 20 on; the target is initialised at frame 22."""
    plan = Plan(Path("bag"), "/v", "/t", (0, 0, 10, 10), 22, out, first_frame=20)
    sent = [Sent(20 + i, 0, SECOND + 100 * i * MS, SECOND + (100 * i + 1) * MS, 1 * MS) for i in range(frames)]
    return Recording(plan, sent, sent, published, {}, 0, 0, startup=5.0, peak_memory=10**9)


def result(frame: int, latency_ms: int, box, state: str = "tracking", id: int = 1) -> Published:
    stamp = SECOND + 100 * (frame - 20) * MS
    return Published(stamp, stamp + (latency_ms + 2) * MS, id, box, 0.9, state, latency_ms / 1e3, 0.0)


def report(out: Path, published: list[Published], truth: dict) -> dict:
    write_report(recording(out, published), truth)
    return json.loads((out / "summary.json").read_text())


def test_results_are_scored_at_their_own_frame_and_live_ones_at_the_newest_frame(tmp_path):
    # The target moves 2 px a frame; the tracker is right, and 150 ms late, which makes 2 frames.
    truth = {frame: (2.0 * frame, 0, 10, 10) for frame in range(20, 30) if frame != 27}
    published = [result(20, 1, NAN, "idle", id=0)]
    published += [result(frame, 150, (2.0 * frame, 0, 10, 10)) for frame in range(22, 30)]
    summary = report(tmp_path, published, truth)
    # IoU 1 is above all thresholds but the last one, 1.
    right = {"frames": 6, "mean": 1, "median": 1, "success": 0.9524, "above_0.3": 1, "above_0.5": 1}
    assert summary["iou"] == {**right, "precision": 1, "normalised_precision": 1}
    # Frame 23 came before any result; 24..29 without 27 see the box of two frames ago: 6 of 14 px.
    assert summary["iou_live"]["frames"] == 6
    assert summary["iou_live"]["mean"] == pytest.approx((0 + 5 * 6 / 14) / 6, abs=1e-4)
    assert summary["iou_live"]["above_0.3"] == pytest.approx(5 / 6, abs=1e-4)


def test_states_latency_and_initialisations_are_counted(tmp_path):
    box = (0, 0, 10, 10)
    published = [
        result(22, 100, box),
        result(24, 200, box, "coasting"),
        result(26, 300, box, "lost"),
        result(28, 50, box, id=2),
    ]
    summary = report(tmp_path, published, {})
    counted = {"sent": 10, "results": 4, "tracking": 2, "coasting": 1, "lost": 1, "error": 0, "initialisations": 2}
    assert counted.items() <= summary["frames"].items()
    assert summary["latency_ms"]["p50"] == 150
    assert summary["latency_ms"]["max"] == 300
    assert summary["received_ms"]["p50"] == 152
    assert "iou" not in summary


def test_a_result_without_a_box_counts_as_a_miss(tmp_path):
    truth = {frame: (0, 0, 10, 10) for frame in range(20, 30)}
    summary = report(tmp_path, [result(24, 10, (0, 0, 10, 5)), result(25, 10, NAN, "error")], truth)
    assert summary["iou"]["mean"] == pytest.approx(0.25)


def test_offline_each_result_has_its_frame_and_a_lone_thermal_image_is_not_scored(tmp_path):
    whole = recording(tmp_path, [])
    box = (0, 0, 10, 10)
    alone = replace(result(24, 10, (50, 50, 10, 10)), frame=24, stamp=SECOND + 450 * MS)
    published = [replace(result(frame, 10 * (frame - 20), box), frame=frame) for frame in (22, 23, 24)]
    plan = replace(whole.plan, offline=True)
    write_report(replace(whole, plan=plan, published=[*published, alone]), {frame: box for frame in range(20, 30)})
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert (summary["iou"]["frames"], summary["iou"]["mean"]) == (2, 1)
    assert summary["latency_ms"]["max"] == 40
    assert not {"iou_live", "received_ms", "player_late_ms", "diagnostics"} & set(summary)
    assert not (tmp_path / "boxes.csv").exists()  # it is written while tracking


def test_the_success_rate_is_the_mean_over_the_thresholds():
    assert success_rate(np.array([1.0, 0.0, 0.5])) == pytest.approx((20 + 0 + 10) / 63)


def test_precision_is_in_pixels_and_normalised_precision_in_sizes_of_the_true_box():
    true = (100.0, 100.0, 20.0, 200.0)
    shifted = [(x, y, 20.0, 200.0) for x, y in ((104, 100), (106, 100), (100, 130), (120, 100), (100, 141))]
    scores = statistics([fit(box, true) for box in [*shifted, NAN]])
    assert scores["precision"] == pytest.approx(3 / 6, abs=1e-4)  # 4, 6 and 20 px, but not 30 and 41
    assert scores["normalised_precision"] == pytest.approx(2 / 6, abs=1e-4)  # 4 of 20 and 30 of 200
    assert fit((102, 90, 16, 220), true).error == 0  # the same centre


def test_results_before_simulated_time_begins_have_no_latency(tmp_path):
    timeless = [replace(result(frame, 10, (1, 2, 3, 4)), latency=math.nan) for frame in (22, 23)]
    assert "p50" not in report(tmp_path, timeless, {})["latency_ms"]
    assert report(tmp_path, [*timeless, result(24, 70, (1, 2, 3, 4))], {})["latency_ms"]["max"] == 70


def test_boxes_csv_has_a_line_for_each_result_with_a_target(tmp_path):
    report(tmp_path, [result(21, 1, NAN, "idle", id=0), result(22, 10, (1, 2, 3, 4))], {})
    rows = read_boxes(tmp_path / "boxes.csv")
    assert [(row.frame, row.stamp_ns, row.box, row.state) for row in rows] == [
        (22, SECOND + 200 * MS, (1, 2, 3, 4), "tracking")
    ]


def test_a_replay_without_any_result_still_has_a_report(tmp_path):
    text = write_report(recording(tmp_path, []), {22: (0, 0, 1, 1)})
    assert "results       0" in text
    assert (tmp_path / "timeline.png").stat().st_size > 0
