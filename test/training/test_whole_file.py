"""Files of a cache that several processes share: two that write the same one at once are not in each other's way."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import cv2
import numpy as np
import pytest

from tpf_training.datasets.frame_store import Wanted, load_frames
from tpf_training.datasets.rgbt210 import read_rgbt210
from tpf_training.datasets.rgbt_pairs import find_pairs
from tpf_training.mad.run_ahead import run_ahead
from tpf_training.whole_file import whole_file


def test_a_file_is_there_only_when_it_is_whole(tmp_path):
    file = tmp_path / "a.txt"
    with pytest.raises(ZeroDivisionError), whole_file(file) as part:
        part.write_text("half")
        1 / 0
    assert not list(tmp_path.iterdir())
    with whole_file(file) as part:
        part.write_text("whole")
        assert not file.exists()
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"] and file.read_text() == "whole"


@pytest.fixture
def cache(tmp_path):
    """A folder for it, with a set of one sequence beside it."""
    folder = tmp_path / "set/walk"
    for part in ("visible", "infrared"):
        (folder / part).mkdir(parents=True)
        for number in range(3):
            cv2.imwrite(str(folder / part / f"{number}.png"), np.zeros((48, 64), np.uint8))
    (folder / "init.txt").write_text("10,10,9,9\n" * 3)
    return tmp_path / "cache"


def decode(data_root, cache):
    frames = load_frames(data_root / "rgbt_video/walk/visible.mp4", Wanted(np.arange(3), grey=True), cache)
    assert frames.shape == (3, 120, 160)


def index(data_root, cache):
    assert len(read_rgbt210(cache.parent / "set", cache=cache)) == 1


class Thermal:
    """An expert that shows the thermal image."""

    name, fingerprint = "thermal", "0123456789abcdef"

    def fuse(self, visible, thermal, name):
        return thermal


def fuse(data_root, cache):
    folder = run_ahead(Thermal(), find_pairs(data_root / "rgbt_pairs"), cache)
    assert cv2.imread(str(folder / "set/one.png"), cv2.IMREAD_GRAYSCALE).shape == (120, 160)


@pytest.mark.parametrize("write", [decode, index, fuse])
def test_two_that_write_the_same_file_at_once_both_succeed(data_root, cache, monkeypatch, write):
    both, replace = Barrier(2, timeout=30), Path.replace

    def replace_once_both_have_written(part, path):
        both.wait()
        return replace(part, path)

    monkeypatch.setattr(Path, "replace", replace_once_both_have_written)
    with ThreadPoolExecutor(2) as pool:  # threads have one PID, as processes in two containers may
        for done in [pool.submit(write, data_root, cache) for _ in range(2)]:
            done.result()
    assert cache.exists() and not list(cache.rglob("*.part"))
