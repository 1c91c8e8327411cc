"""A model over a data set: what it writes, what a killed run leaves and goes on from, and what is told of damage."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pytest

from tpf_training.evaluation.cli import main
from tpf_training.evaluation.clips import read_paired
from tpf_training.evaluation.entrants import TPFEntrant
from tpf_training.evaluation.evaluate import evaluate_all
from tpf_training.evaluation.one_pass import EvaluationError
from tpf_training.evaluation.run_shares import Rank, share_of, this_rank
from tpf_training.evaluation.sequences import LAYOUTS, find_openers

SIZE = 96, 72  # width, height
SECONDS = 120  # that a started process gets, far more than it needs


def box(index: int) -> tuple[int, int, int, int]:
    return 10 + 2 * index, 24, 16, 24


def frame(index: int) -> np.ndarray:
    """A dim image, unlike any other frame's, with a bright target."""
    image = np.full(SIZE[::-1], 40 + index, np.uint8)
    x, y, w, h = box(index)
    image[y : y + h, x : x + w] = 230
    return image


def write_images(folder: Path, count: int) -> None:
    folder.mkdir(parents=True)
    for index in range(count):
        cv2.imwrite(str(folder / f"{index}.png"), frame(index))


def write_sequence(folder: Path, dataset: str, count: int) -> None:
    """A sequence in a benchmark's published layout."""
    layout = LAYOUTS[dataset]
    for part in (layout.visible, layout.thermal):
        write_images(folder / part, count)
    boxes = np.array([box(index) for index in range(0, count, layout.every)])
    if layout.corners:
        boxes[:, 2:] += boxes[:, :2]
    for name in filter(None, (layout.boxes, layout.thermal_boxes)):
        np.savetxt(folder / name, boxes, "%d", delimiter=" " if layout.corners else ",")


def command(dataset: str, root: Path, out: Path, *more) -> list[str]:
    arguments = ["run", "--dataset", dataset, "--root", root, "--out", out, "--model", "tiny", "--device", "cpu", *more]
    return list(map(str, arguments))


def boxes_of(out: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in out.glob("*.txt") if not file.name.endswith("_time.txt")}


@pytest.mark.parametrize("dataset", LAYOUTS)
def test_a_benchmark_is_run_over_every_frame_from_its_first_box(tmp_path, dataset):
    write_sequence(tmp_path / "test" / "walk", dataset, 23)
    openers, chosen = find_openers(dataset, tmp_path)
    assert (list(openers), chosen) == (["walk"], "all")
    sequence = openers["walk"]()
    assert sequence.modalities == ("visible", "thermal") and len(sequence.boxes) == 23
    assert tuple(sequence.boxes[0]) == box(0)
    known = np.flatnonzero(sequence.present)
    assert known.tolist() == list(range(0, 23, 10 if dataset == "vtuav" else 1))
    for index, (visible, thermal) in enumerate(sequence.images()):
        np.testing.assert_array_equal(thermal, frame(index))
        np.testing.assert_array_equal(visible[..., 0], frame(index))
    assert index == 22


def test_results_have_a_line_a_frame_and_are_scored_as_they_lie(tmp_path, capsys):
    write_sequence(tmp_path / "data" / "bus", "vtuav", 12)
    out = tmp_path / "mine"
    assert main(command("vtuav", tmp_path / "data", out)) == 0
    table, progress = capsys.readouterr()
    assert "[1/1] bus: 12 frames, " in progress and " FPS; 0:00:00 left" in progress
    lines = (out / "bus.txt").read_text().splitlines()
    assert len(lines) == 12 and lines[0] == "10.0000\t24.0000\t16.0000\t24.0000"
    seconds = np.loadtxt(out / "bus_time.txt")
    assert seconds.shape == (12,) and (seconds > 0).all()
    record = json.loads((out / "run.json").read_text())
    settings = record["settings"]
    assert record["tracker"] == "tiny" and len(record["devices"]) == 1
    assert (settings["dataset"], settings["model"], settings["sequences"]) == ("vtuav", "tiny", ["bus"])
    assert len(settings["weights_sha256"]) == 64 and settings["device"] == "cpu"
    arguments = "--dataset", "vtuav", "--gt", tmp_path / "data", "--results", f"tiny={out}"
    assert main(["score", *map(str, arguments)]) == 0
    assert capsys.readouterr().out == table and "tiny" in table and "1/1" in table


@pytest.mark.parametrize("dataset", ["clips", "folder"])
def test_clips_and_folders_get_the_scores_of_a_comparison(dataset, write_clip, tmp_path, capsys):
    clip = tmp_path / "data" / "walk"
    write_clip(clip, ["visible", "thermal"], "A", count=8)
    lines = (clip / "A.csv").read_text().splitlines()
    lines[1] = "0,0,0,0,0,0"  # begins later
    del lines[5]  # unlabelled
    (clip / "A.csv").write_text("\n".join(lines) + "\n")
    (sequence,) = read_paired(clip)
    (expected,) = evaluate_all([TPFEntrant("tiny", "tiny", device="cpu", threads=1)], [sequence])
    if dataset == "folder":
        for part in ("visible", "thermal"):
            (clip / part).mkdir()
            video = cv2.VideoCapture(str(clip / f"{part}.mp4"))
            for index in range(8):
                cv2.imwrite(str(clip / part / f"{index}.png"), video.read()[1])
        (clip / "A.csv").rename(clip / "boxes.csv")
    assert main(command(dataset, tmp_path / "data", tmp_path / "out")) == 0
    name = "walk_A" if dataset == "clips" else "walk"
    assert len((tmp_path / "out" / f"{name}.txt").read_text().splitlines()) == 7
    scores = expected.scores.summary()
    shown = capsys.readouterr().out.splitlines()[-1].split()
    assert shown == ["tiny", "1/1", *(f"{100 * scores[key]:.2f}" for key in ("pr", "npr", "sr"))]
    if dataset == "folder":
        compared = f"--folder={tmp_path / 'data'}", "--model=tiny", "--device=cpu", f"--json={tmp_path / 'scores.json'}"
        assert main(["compare", *compared]) == 0
        report = json.loads((tmp_path / "scores.json").read_text())
        assert report["sets"]["folder"]["entrants"]["tiny"]["mean"]["sr"] == pytest.approx(scores["sr"])


def children_of(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def wait_until(condition) -> None:
    end = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def is_read(fifo: Path) -> bool:
    """Whether a process waits for the file's data; it gets none as long as this process lives."""
    try:
        os.open(fifo, os.O_WRONLY | os.O_NONBLOCK)
    except OSError:
        return False
    return True


def test_a_killed_run_goes_on_where_it_was_and_shares_make_one_result(tmp_path, monkeypatch, capsys):
    data, killed, shared = tmp_path / "data", tmp_path / "killed", tmp_path / "shared"
    for name, count in (("a", 6), ("b", 5), ("c", 5), ("d", 4)):
        write_sequence(data / name, "lasher", count)
    # A frame whose file never ends: the run stands still in the middle of b and c.
    originals = {}
    for name in "bc":
        file = data / name / "visible/3.png"
        originals[file] = file.read_bytes()
        file.unlink()
        os.mkfifo(file)
    arguments = [sys.executable, "-m", "tpf_training.evaluation.cli", *command("lasher", data, killed, "--workers", 2)]
    process = subprocess.Popen(arguments, stderr=subprocess.DEVNULL)
    try:
        wait_until(lambda: (killed / "a.txt").exists())
        workers = children_of(process.pid)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert boxes_of(killed).keys() == {"a.txt"}
    wait_until(lambda: not any(map(is_running, workers)))
    assert len(workers) >= 2
    for file, data_of_it in originals.items():
        file.unlink()
        file.write_bytes(data_of_it)
    before = {name: (killed / name).stat().st_mtime_ns for name in ("a.txt", "a_time.txt")}
    assert main(command("lasher", data, killed)) == 0
    table, progress = capsys.readouterr()
    assert "1 of them done before" in progress and "[3/3]" in progress and "4/4" in table
    assert before == {name: (killed / name).stat().st_mtime_ns for name in before}
    # The same by two ranks, the second of which ends last.
    monkeypatch.setenv("WORLD_SIZE", "2")
    for rank, said in (("0", "2 sequence(s) are still the other processes'; then: tpf-eval score"), ("1", "")):
        monkeypatch.setenv("RANK", rank)
        assert main(command("lasher", data, shared)) == 0
        there, progress = capsys.readouterr()
        assert said in progress
    assert there.replace("shared", "killed") == table
    assert boxes_of(killed) == boxes_of(shared) and len(boxes_of(shared)) == 4


def test_an_interrupted_run_ends_without_finishing_its_sequences(tmp_path):
    write_sequence(tmp_path / "data/a", "lasher", 3)
    write_sequence(tmp_path / "data/b", "lasher", 3)
    files = [tmp_path / "data" / name / "visible/1.png" for name in "ab"]
    for file in files:  # that never end
        file.unlink()
        os.mkfifo(file)
    arguments = [sys.executable, "-m", "tpf_training.evaluation.cli"]
    arguments += command("lasher", tmp_path / "data", tmp_path / "out", "--workers", 2)
    process = subprocess.Popen(arguments, stderr=subprocess.PIPE, text=True)
    try:
        for file in files:
            wait_until(lambda: is_read(file))
        process.send_signal(signal.SIGINT)
        said = process.communicate(timeout=SECONDS)[1]
    finally:
        process.kill()
    assert process.returncode == 130 and said.endswith("\ntpf-eval run: interrupted\n")


def test_what_cannot_be_written_is_named_and_leaves_no_half_a_file(tmp_path, capsys):
    write_sequence(tmp_path / "data/walk", "rgbt210", 2)
    out = tmp_path / "out"
    assert main(command("rgbt210", tmp_path / "data", out)) == 0
    for name in ("walk.txt", "walk_time.txt"):
        (out / name).unlink()
    (out / "walk_time.txt").mkdir()
    assert main(command("rgbt210", tmp_path / "data", out)) == 2
    assert f"{out}/walk_time.txt: cannot be written: Is a directory" in capsys.readouterr().err
    assert not list(out.glob("*.part"))


def test_the_times_of_a_sequence_are_not_the_boxes_of_another(tmp_path, capsys):
    for name in ("day", "day_time"):
        write_sequence(tmp_path / "data" / name, "rgbt210", 2)
    assert main(command("rgbt210", tmp_path / "data", tmp_path / "out")) == 2
    assert "day_time.txt would hold the times of day and the boxes of another sequence" in capsys.readouterr().err


def test_every_sequence_falls_to_one_process_and_all_have_as_many_frames():
    frames = {str(number): 100 + 37 * number % 900 for number in range(245)}
    shares = [share_of(frames, Rank(index, 4)) for index in range(4)]
    assert sorted(name for share in shares for name in share) == sorted(frames)
    loads = [sum(frames[name] for name in share) for share in shares]
    assert max(loads) - min(loads) <= max(frames.values()) // 4


def test_ranks_are_those_of_torchrun_and_slurm():
    torchrun = {"RANK": "5", "WORLD_SIZE": "8", "LOCAL_RANK": "1"}
    slurm = {"SLURM_PROCID": "2", "SLURM_NTASKS": "3", "SLURM_STEP_NUM_TASKS": "3", "SLURM_LOCALID": "0"}
    assert this_rank(slurm) == Rank(2, 3, 0) and this_rank(slurm | torchrun) == Rank(5, 8, 1)
    assert this_rank({}) == this_rank({"RANK": "5"}) == Rank(0, 1, 0)
    script = {"SLURM_PROCID": "0", "SLURM_NTASKS": "4", "SLURM_LOCALID": "0"}  # itself, not started by srun
    assert this_rank(script) == Rank(0, 1, 0)
    for wrong in ({"RANK": "8"}, {"RANK": "-1"}, {"WORLD_SIZE": "many"}):
        with pytest.raises(EvaluationError, match="torchrun: RANK=.*, WORLD_SIZE=.* make no sense"):
            this_rank(torchrun | wrong)


def test_damaged_sequences_are_named_and_the_others_done(tmp_path, monkeypatch, capsys):
    for name in ("well", "cut", "gone", "boxless", "outside"):
        write_sequence(tmp_path / "data" / name, "rgbt210", 4)
    cut = tmp_path / "data/cut/infrared/2.png"
    whole = cut.read_bytes()
    cut.write_bytes(whole[:-40])
    (tmp_path / "data/gone/visible/1.png").unlink()
    (tmp_path / "data/boxless/init.txt").unlink()
    boxes = tmp_path / "data/outside/init.txt"
    boxes.write_text(boxes.read_text().replace("10,24,16,24", "200,24,16,24"))
    out = tmp_path / "out"
    # By two ranks. The first must not fail, as that ends the others.
    monkeypatch.setenv("WORLD_SIZE", "2")
    progress = ""
    for rank, status in (("0", 0), ("1", 1)):
        monkeypatch.setenv("RANK", rank)
        assert main(command("rgbt210", tmp_path / "data", out)) == status
        table, shown = capsys.readouterr()
        progress += shown
    assert boxes_of(out).keys() == {"well.txt"}
    assert "infrared/2.png: missing or damaged image: cut off" in progress
    assert "gone/visible has 3 frames" in progress and "boxless/init.txt: cannot be read" in progress
    assert "outside: frame 0: box x=200 y=24 w=16 h=24 lies outside the 96x72 image" in progress
    assert "4 damaged sequence(s) without results: boxless, cut, gone, outside" in progress
    assert ["tiny", "1/4"] == table.splitlines()[3].split()[:2]
    monkeypatch.undo()
    cut.write_bytes(whole)
    assert main(command("rgbt210", tmp_path / "data", out)) == 1
    assert "3 damaged sequence(s) without results: boxless, gone, outside" in capsys.readouterr().err
    assert boxes_of(out).keys() == {"well.txt", "cut.txt"}
    shutil.rmtree(tmp_path / "data/gone")
    shutil.rmtree(tmp_path / "data/boxless")
    assert main(command("rgbt210", tmp_path / "data", out)) == 2
    assert "sequences was 5 sequences with boxless, now it is 3 sequences" in capsys.readouterr().err


def test_a_run_with_other_settings_is_refused_with_the_difference(tmp_path, capsys):
    write_sequence(tmp_path / "data" / "walk", "rgbt210", 2)
    out = tmp_path / "out"
    assert main(command("rgbt210", tmp_path / "data", out)) == 0
    assert main(command("rgbt210", tmp_path / "data", out, "--no-ndtu")) == 2
    assert "run.json: ndtu was True, now it is False: give --out another folder" in capsys.readouterr().err
    assert main(command("rgbt210", tmp_path / "data", out, "--published")) == 2
    assert "run.json: published was False, now it is True" in capsys.readouterr().err
    (out / "run.json").write_text("[]")
    assert main(command("rgbt210", tmp_path / "data", out)) == 2
    assert "run.json: is not the record of a run" in capsys.readouterr().err
    (out / "run.json").unlink()
    assert main(command("rgbt210", tmp_path / "data", out)) == 2
    assert "but no run.json: give --out a folder of its own" in capsys.readouterr().err
    assert main(command("rgbt210", tmp_path / "data", out / "walk.txt")) == 2
    assert "walk.txt: cannot be made a folder: File exists" in capsys.readouterr().err
    for more, said in (
        (["--devices", "cpu"], "--device and --devices exclude each other"),
        (["--sequences", tmp_path / "none.txt"], "none.txt: cannot be read: No such file"),
    ):
        assert main(command("rgbt210", tmp_path / "data", out, *more)) == 2
        assert said in capsys.readouterr().err


@pytest.mark.parametrize(
    "devices, said",
    [
        (["cpu", "cuda:0"], "--devices cpu cuda:0: give one or more of one kind"),
        (["0"], "--devices 0: give one or more"),
        (["cpu", "cpu", "--workers", "1"], "--workers 1 cannot use 2 devices"),
        (["cpux"], "unknown device 'cpux'"),
    ],
)
def test_devices_that_make_no_sense_are_refused(tmp_path, capsys, devices, said):
    write_sequence(tmp_path / "walk", "rgbt210", 2)
    arguments = ["run", "--dataset", "rgbt210", "--root", str(tmp_path), "--model", "tiny", "--devices", *devices]
    assert main(arguments) == 2 and said in capsys.readouterr().err


def test_what_has_only_first_boxes_is_tracked_and_not_scored(tmp_path, capsys):
    write_sequence(tmp_path / "data" / "walk", "rgbt210", 3)
    boxes = tmp_path / "data/walk/init.txt"
    boxes.write_text(boxes.read_text().splitlines()[0])
    assert main(command("rgbt210", tmp_path / "data", tmp_path / "out")) == 0
    shown, progress = capsys.readouterr()
    assert shown == "" and "not scored: of walk only the first box is known" in progress
    assert len((tmp_path / "out/walk.txt").read_text().splitlines()) == 3
