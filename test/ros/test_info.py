import json
import os
import subprocess
import sys

import pytest
from tpf_model.weights import load_network, shipped_weights

from tpf_ros import cli


def info(capsys, *arguments) -> dict:
    assert cli.main(["info", "--device", "cpu", "--json", *arguments]) == 0
    return json.loads(capsys.readouterr().out)


def test_base_has_the_published_size(capsys):
    description = info(capsys, "--model", "base", "--weights", "random")
    counts = description["parameters"]
    assert 14_200 <= counts["pfa"] <= 14_400
    assert 92_120_000 <= counts["total"] <= 92_140_000
    assert counts["total"] == counts["pfa"] + counts["encoder"] + counts["head"]
    assert all(type(count) is int for count in counts.values())
    assert description["tokens"] == {"template": 64, "dynamic": 64, "search": 256, "total": 384}
    assert description["sizes"]["token_stride"] == 1 and description["sizes"]["search_size"] == 256


@pytest.mark.parametrize(
    ("arguments", "model"), [([], "tiny"), (["--weights", str(shipped_weights("small"))], "small")], ids=["cpu", "file"]
)
def test_without_a_model_it_is_that_of_the_weights_file_or_the_one_for_a_cpu(capsys, arguments, model):
    description = info(capsys, *arguments)
    assert description["model"] == model and description["weights"] == load_network(model)[1]


def test_it_says_how_the_model_runs_here_and_what_its_weights_are(capsys):
    description = info(capsys, "--model", "tiny", "--weights", "random")
    assert (description["model"], description["runtime"], description["device"]) == ("tiny", "eager", "cpu")
    assert description["scan"] == "native" and description["precision"] in ("float32", "bfloat16")
    assert "random" in description["weights"]["source"]


def test_the_weights_that_ship_say_what_they_were_trained_on(capsys):
    weights = info(capsys, "--model", "small")["weights"]
    assert weights["step"] > 0 and all(source["licence"] for source in weights["data"].values())


@pytest.mark.parametrize(("model", "origin"), [("small", ("start", "weights")), ("tiny", ("mean of", "weights 2"))])
def test_the_text_is_about_the_last_run_and_the_json_about_all(capsys, model, origin):
    assert cli.main(["info", "--model", model, "--device", "cpu"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) < 60 and max(map(len, lines)) < 200
    kind, name = origin
    assert "provenance" in info(capsys, "--model", model)["weights"][kind][name]


def test_a_model_without_weights_is_described_all_the_same(capsys):
    assert info(capsys, "--model", "base")["weights"] == {"source": "none shipped"}


def test_the_text_shows_the_same_numbers(capsys):
    assert cli.main(["info", "--model", "tiny", "--weights", "random", "--device", "cpu"]) == 0
    lines = dict(line.split(":", 1) for line in capsys.readouterr().out.splitlines())
    total = info(capsys, "--model", "tiny", "--weights", "random")["parameters"]["total"]
    assert lines["parameters.total"].strip() == f"{total:,}"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--model", "huge"], "unknown model 'huge'; known: base, small, tiny"),
        (["--device", "tpu"], "unknown device 'tpu'"),
        (["--weights", "nowhere.safetensors"], "weights file nowhere.safetensors does not exist"),
    ],
)
def test_what_is_not_there_is_an_error_that_names_it(capsys, arguments, said):
    assert cli.main(["info", *arguments]) == 2
    assert said in capsys.readouterr().err


def test_a_reader_that_has_enough_is_no_error():
    reader, writer = os.pipe()
    os.close(reader)
    command = [sys.executable, "-m", "tpf_ros.cli", "info", "--model", "tiny", "--weights", "random", "--json"]
    done = subprocess.run(command, stdout=writer, stderr=subprocess.PIPE, text=True)
    os.close(writer)
    assert (done.returncode, done.stderr) == (0, "")
