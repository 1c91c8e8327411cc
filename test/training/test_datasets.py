"""The readers: what is held out stays out, and what is wrong in a file is told with its name."""

import shutil

import numpy as np
import pytest

from tpf_training.datasets.frame_store import Wanted, load_frames
from tpf_training.datasets.record import DatasetError
from tpf_training.datasets.rgbt_pairs import read_rgbt_pairs
from tpf_training.datasets.rgbt_video import read_rgbt_video
from tpf_training.datasets.single_modality import read_single_modality
from tpf_training.datasets.splits import is_held_out
from tpf_training.datasets.thermal_tracks import read_thermal_tracks
from tpf_training.datasets.thermal_video import read_thermal_video


def test_held_out_clips_are_not_even_opened(data_root):
    # Their files are broken, so a reader that opened one would raise.
    assert [clip.name for clip in read_rgbt_video(data_root / "rgbt_video")] == ["walk/A"]
    assert [clip.name for clip in read_single_modality(data_root / "single_modality")] == ["V_ONE", "IR_ONE"]
    assert [still.name for still in read_rgbt_pairs(data_root / "rgbt_pairs")] == ["set/one"]
    assert {still.name.split("/")[0] for still in read_thermal_video(data_root / "thermal_video")} == {"street"}
    assert {clip.name.split("/")[0] for clip, _ in read_thermal_tracks(data_root / "thermal_video")} == {"street"}


@pytest.mark.parametrize("name", ["0117_1620", "0117_1620_0008", "m3svd_0117_1620", "1230_1202-cut", "0113_1714"])
def test_what_is_made_of_a_held_out_clip_is_held_out(name):
    assert is_held_out(name)


@pytest.mark.parametrize("name", ["0117_1621", "10117_1620", "0117_16200", "walk"])
def test_other_clips_are_not(name):
    assert not is_held_out(name)


def test_a_list_of_evaluation_clips_that_is_lost_holds_training_up(data_root, tmp_path):
    root = shutil.copytree(data_root / "single_modality", tmp_path / "single_modality")
    (root / "eval.txt").unlink()
    with pytest.raises(DatasetError, match="eval.txt"):
        read_single_modality(root)


def truncate(path):
    path.write_bytes(path.read_bytes()[:2000])


def spoil_line_7(path):
    lines = path.read_text().splitlines()
    lines[6] = "5,14,40"
    path.write_text("\n".join(lines))


def add_box_of_frame_999(path):
    path.write_text(path.read_text() + "999,1,1,5,5,1\n")


@pytest.mark.parametrize(
    "file, damage, message",
    [
        ("thermal.mp4", truncate, "walk/thermal.mp4: not a readable video"),
        ("visible.mp4", lambda path: path.unlink(), "walk/visible.mp4: no such video"),
        ("A.csv", spoil_line_7, "walk/A.csv: line 7 is '5,14,40'"),
        ("A.csv", add_box_of_frame_999, "walk/A.csv: has a box for frame 999, .*/walk/visible.mp4 has 60 frames"),
        ("A.csv", lambda path: path.write_text("frame,x,y,w,h,visible\n"), "walk/A.csv: needs at least one box"),
    ],
)
def test_what_is_wrong_in_a_file_is_told_with_its_name(data_root, tmp_path, file, damage, message):
    clip = shutil.copytree(data_root / "rgbt_video/walk", tmp_path / "walk")
    damage(clip / file)
    with pytest.raises(DatasetError, match=message):
        read_rgbt_video(tmp_path)


def test_a_pair_that_lacks_an_image_is_an_error(data_root, tmp_path):
    root = shutil.copytree(data_root / "rgbt_pairs", tmp_path / "rgbt_pairs")
    (root / "set/visible/one.jpg").unlink()
    with pytest.raises(DatasetError, match="set/visible/one.jpg"):
        read_rgbt_pairs(root)


def test_frames_without_the_target_are_left_out(data_root, tmp_path):
    boxes = shutil.copytree(data_root / "rgbt_video/walk", tmp_path / "walk") / "A.csv"
    lines = boxes.read_text().splitlines()
    lines[4] = "3,0,0,0,0,0"  # absent
    lines[5] = "4,150,40,24,48,1"  # more than half outside the 160 px wide image
    boxes.write_text("\n".join(lines))
    (clip,) = read_rgbt_video(tmp_path)
    assert clip.frames.tolist() == [0, 1, 2, *range(5, 60)] and len(clip.visible) == len(clip.thermal) == 58


def test_cached_frames_are_the_videos_and_follow_its_changes(tmp_path, write_clip):
    video, wanted, cache = tmp_path / "clip.mp4", Wanted(np.array([0, 3, 9]), grey=True), tmp_path / "cache"
    for start in (0, 20):
        write_clip(tmp_path, ["clip"], start=start, count=10)
        decoded = load_frames(video, wanted)
        assert decoded[0, 60, 4 + 2 * start + 12] > 200  # the rectangle is where it was drawn
        for _ in range(2):
            np.testing.assert_array_equal(load_frames(video, wanted, cache), decoded)
