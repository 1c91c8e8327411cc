"""`scripts/collect_clips.py`, over a real repository on disk."""

import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
from tpf_training.evaluation.sequences import read_folders

SCRIPT = Path(__file__).parents[2] / "scripts" / "collect_clips.py"
HEADER = "split,name,modality,repository,commit,images,boxes,first,step"


def git(folder, *arguments):
    command = ["git", "-C", folder, "-c", "user.name=me", "-c", "user.email=me@example.org", *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def write_repository(folder):
    """One with two targets in ten images, 1 to 10, of 1280 x 720; returns its commit."""
    (folder / "seq" / "walk").mkdir(parents=True)
    for number in range(1, 11):
        image = np.full((720, 1280, 3), 20 * number, np.uint8)
        cv2.imwrite(str(folder / "seq" / "walk" / f"{number:06d}.jpg"), image)
    (folder / "seq" / "walk.txt").write_text("".join(f"{30 * n},60,90,120\n" for n in range(10)))
    corners = ["30,60,120,60,120,180,30,180\n", "NaN,NaN,NaN,NaN,NaN,NaN,NaN,NaN\n", "60,60,150,60,150,180,60,180\n"]
    (folder / "seq" / "late.txt").write_text("".join(corners))
    (folder / "large.bin").write_bytes(b"not wanted")
    git(folder, "init", "--quiet")
    git(folder, "add", ".")
    git(folder, "commit", "--quiet", "-m", "clips")
    return git(folder, "rev-parse", "HEAD")


def test_clips_become_folders_that_are_read_and_what_cannot_be_had_is_named(tmp_path):
    commit = write_repository(tmp_path / "base" / "owner" / "name")
    rows = [
        f"train,walk,visible,owner/name,{commit},seq/walk,seq/walk.txt,1,2",
        f"train,late,thermal,owner/name,{commit},seq/walk,seq/late.txt,4,1",
        f"train,gone,visible,owner/gone,{commit},seq/walk,seq/walk.txt,1,1",
    ]
    (tmp_path / "clips.csv").write_text("\n".join([HEADER, *rows]) + "\n")
    arguments = [tmp_path / "out", "--clips", tmp_path / "clips.csv", "--base", f"file://{tmp_path}/base/"]
    done = subprocess.run([sys.executable, SCRIPT, *arguments], capture_output=True, text=True)
    assert done.returncode == 1 and "owner/gone: git fetch: " in done.stderr
    assert done.stdout == "walk: 5 images\nlate: 3 images\n"
    late, walk = read_folders(tmp_path / "out" / "train")
    assert (late.name, late.modalities, walk.name, walk.modalities) == ("late", ("thermal",), "walk", ("visible",))
    np.testing.assert_allclose(walk.boxes, [(40 * n, 40, 60, 80) for n in range(5)], atol=0.1)
    assert late.present.tolist() == [True, False, True]
    np.testing.assert_allclose(late.boxes[[0, 2]], [(20, 40, 60, 80), (40, 40, 60, 80)], atol=0.1)
    for index, (visible, _) in enumerate(walk.images()):
        assert visible.shape == (480, 853, 3) and abs(int(visible.mean()) - 20 * (2 * index + 1)) < 3
    _, thermal = next(late.images())
    assert abs(int(thermal.mean()) - 80) < 3
