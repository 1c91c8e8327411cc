"""The index: the second opening reads nothing but the index, and every change of the data is noticed."""

import os
import time

import cv2
import numpy as np
import pytest

from tpf_training.datasets import benchmark_folder
from tpf_training.datasets.record import DatasetError
from tpf_training.datasets.rgbt210 import read_rgbt210
from tpf_training.datasets.rgbt234 import read_rgbt234

COUNT = 8


def write_boxes(file, count=COUNT, first_x=20):
    file.write_text("".join(f"{first_x + i},12,10,16\n" for i in range(count)))


def age(root):
    """Make everything under `root` look as if it had been there for an hour: what is quite new is never indexed."""
    then = time.time() - 3600
    for path in [root, *root.rglob("*")]:
        os.utime(path, (then, then))


@pytest.fixture
def root(tmp_path):
    for name in ("a", "b", "c"):
        folder = tmp_path / "set" / name
        for part in ("visible", "infrared"):
            (folder / part).mkdir(parents=True)
            for i in range(COUNT):
                cv2.imwrite(str(folder / part / f"{part[0]}{i}.png"), np.full((48, 64), 10 * i, np.uint8))
            write_boxes(folder / f"{part}.txt")
    boxes = (tmp_path / "set/b/visible.txt").read_text()
    (tmp_path / "set/b/visible.txt").write_text(boxes.replace("20,12,10,16", "0,0,0,0"))
    age(tmp_path / "set")
    return tmp_path / "set"


@pytest.fixture
def read(monkeypatch):
    """Names of the sequences whose folders were looked into."""
    names = []
    original = benchmark_folder._read

    def counted(layout, files):
        names.append(files.name)
        return original(layout, files)

    monkeypatch.setattr(benchmark_folder, "_read", counted)
    return names


def same(clips, others):
    for clip, other in zip(clips, others, strict=True):
        assert clip.name == other.name
        for part in ("boxes", "frames", "thermal_boxes"):
            np.testing.assert_array_equal(getattr(clip, part), getattr(other, part))
        for part in ("visible", "thermal"):
            images, others_images = getattr(clip, part), getattr(other, part)
            assert images.shape == others_images.shape
            np.testing.assert_array_equal(images[-1], others_images[-1])


def test_the_second_opening_gives_the_same_clips_without_reading_them(root, tmp_path, read):
    first = read_rgbt234(root, cache=tmp_path / "cache")
    assert read == ["a", "b", "c"]
    second = read_rgbt234(root, cache=tmp_path / "cache")
    assert read == ["a", "b", "c"]
    same(first, second)
    assert len(list((tmp_path / "cache").iterdir())) == 1
    with pytest.raises(DatasetError, match="init.txt"):  # another reader does not take the first one's index
        read_rgbt210(root, cache=tmp_path / "cache")


def add_frame(folder):
    for part in ("visible", "infrared"):
        cv2.imwrite(str(folder / part / f"{part[0]}{COUNT}.png"), np.zeros((48, 64), np.uint8))
        write_boxes(folder / f"{part}.txt", COUNT + 1)


def rename_frame(folder):
    (folder / "infrared/i7.png").rename(folder / "infrared/i07.png")


def move_box(folder):
    file = folder / "visible.txt"
    file.write_text(file.read_text().replace("21,", "22,"))  # as long as before


def move_thermal_box(folder):
    write_boxes(folder / "infrared.txt", first_x=21)


def resize_frames(folder):
    for part in ("visible", "infrared"):
        for file in (folder / part).iterdir():
            file.write_bytes(cv2.imencode(".png", np.zeros((96, 128), np.uint8))[1].tobytes())  # in place


@pytest.mark.parametrize("change", [add_frame, rename_frame, move_box, move_thermal_box, resize_frames])
def test_a_change_is_noticed_and_only_what_changed_is_read_again(root, tmp_path, read, change):
    read_rgbt234(root, cache=tmp_path / "cache")
    read.clear()
    change(root / "b")
    changed = read_rgbt234(root, cache=tmp_path / "cache")
    assert read == ["b"]
    same(changed, read_rgbt234(root))


def test_what_changes_again_within_the_file_systems_tick_is_noticed(root, tmp_path, read):
    # The first change is quite new, so it is not trusted to look different after a second one.
    move_box(root / "b")
    read_rgbt234(root, cache=tmp_path / "cache")
    read.clear()
    read_rgbt234(root, cache=tmp_path / "cache")
    assert read == ["b"]


def test_new_and_removed_sequences_are_noticed(root, tmp_path, read):
    read_rgbt234(root, cache=tmp_path / "cache")
    read.clear()
    (root / "b").rename(root / "z")
    assert [clip.name for clip in read_rgbt234(root, cache=tmp_path / "cache")] == ["a", "c", "z"]
    assert read == ["z"]


def test_a_damaged_sequence_is_tried_again_each_time(root, tmp_path):
    frame, cache = root / "b/visible/v0.png", tmp_path / "cache"
    good = frame.read_bytes()
    frame.write_bytes(good[:60])  # in place: its folder looks as before
    age(root)
    for _ in range(2):
        skipped = []
        assert [clip.name for clip in read_rgbt234(root, cache=cache, skipped=skipped)] == ["a", "c"]
        assert len(skipped) == 1 and "b/visible/v0.png" in str(skipped[0])
    with pytest.raises(DatasetError, match="b/visible/v0.png"):
        read_rgbt234(root, cache=cache)
    frame.write_bytes(good)
    age(root)
    assert [clip.name for clip in read_rgbt234(root, cache=cache)] == ["a", "b", "c"]


@pytest.mark.parametrize("content", [b"", b"no index", b"PK\x03\x04 cut off"])
def test_a_broken_index_is_made_anew(root, tmp_path, read, content):
    read_rgbt234(root, cache=tmp_path / "cache")
    (file,) = (tmp_path / "cache").iterdir()
    file.write_bytes(content)
    for _ in range(2):
        assert len(read_rgbt234(root, cache=tmp_path / "cache")) == 3
    assert read == ["a", "b", "c"] * 2
