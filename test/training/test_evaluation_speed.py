import json
from pathlib import Path

import pytest

from tpf_model.weights import RANDOM, load_network, save_network
from tpf_training.evaluation.cli import main

CLIP = Path(__file__).parents[1] / "data/0117_1620"


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    """The report of one run, and its Markdown: a model, a file of another, and a precision that nothing has."""
    folder = tmp_path_factory.mktemp("speed")
    save_network(load_network("tiny", RANDOM)[0], folder / "mine.safetensors", {"source": "random"})
    entrants = ["--model", "tiny", "--weights", f"mine={folder}/mine.safetensors", "--runtime", "eager"]
    precisions = ["--precision", "float32", "--precision", "float8"]
    outputs = ["--json", f"{folder}/speed.json", "--markdown", f"{folder}/speed.md"]
    clip = ["--clip", str(CLIP), "--frames", "5", "--device", "cpu"]
    assert main(["speed", *entrants, *precisions, *clip, *outputs]) == 1  # float8
    return json.loads((folder / "speed.json").read_text()), (folder / "speed.md").read_text()


def test_all_that_a_frame_costs_is_reported(measured):
    report, _ = measured
    assert list(report["entrants"]) == ["tiny, eager, float32", "mine, eager, float32"]
    assert report["frames"] == {"source": "0117_1620/A, in order", "count": 5} and report["threads"] == 1
    for entrant in report["entrants"].values():
        latency = entrant["latency_ms"]
        assert list(latency) == ["p50", "p95", "p99"] and 0 < latency["p50"] <= latency["p95"] <= latency["p99"]
        assert 1e3 / latency["p99"] <= entrant["fps"]
        assert list(entrant["stages_ms"]) == ["crop", "fuse", "encode", "head", "decode"]
        assert entrant["parameters"]["total"] == sum(entrant["parameters"][part] for part in ("pfa", "encoder", "head"))
        assert entrant["memory_mb"]["weights"] == pytest.approx(4 * entrant["parameters"]["total"] / 1e6)
        # A process with PyTorch and the network, of which there is but one.
        assert 100 < entrant["memory_mb"]["peak"] < 3000
        gflop = entrant["gflop"]
        assert gflop["total"] == pytest.approx(gflop["fuse"] + gflop["encode"] + gflop["head"])


def test_what_cannot_run_is_listed_with_the_reason(measured):
    report, page = measured
    assert set(report["not measured"]) == {"tiny, eager, float8", "mine, eager, float8"}
    assert "tiny, eager, float8 was not measured: PyTorch cannot run in 'float8'" in page
    assert "| entrant |" in page and "5 frames: 0117_1620/A, in order. 1 thread(s)." in page


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "nothing to measure"),
        (["--model", "tiny", "--precision", "float8"], "PyTorch cannot run in 'float8'"),
        (["--weights", "mine=nowhere.safetensors"], "nowhere.safetensors does not exist"),
        (["--model", "tiny", "--model", "tiny"], "called 'tiny, "),
        (["--model", "tiny", "--clip", "nowhere"], "nowhere: no clips"),
        (["--model", "tiny", "--json", "nowhere/speed.json"], "there is no folder"),
        (["--model", "tiny", "--device", "tpu"], "unknown device 'tpu'"),
    ],
)
def test_what_cannot_be_used_is_an_error_that_names_it(capsys, arguments, said):
    assert main(["speed", *arguments]) == 2
    assert said in capsys.readouterr().err


def test_a_clip_without_enough_frames_is_refused(write_clip, tmp_path, capsys):
    write_clip(tmp_path / "short", ["visible", "thermal"], "A", count=4)
    assert main(["speed", "--model", "tiny", "--clip", str(tmp_path / "short")]) == 2
    assert "short/A has 4 frames, at least 5 are needed" in capsys.readouterr().err
