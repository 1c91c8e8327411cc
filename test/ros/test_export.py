"""`tpf export` on the clip that ships: what it writes runs, and what does not hold is not written."""

import json
import subprocess
import sys
from types import SimpleNamespace

import pytest
from tpf_model.config import default_model
from tpf_model.runtime.export_check import LIMITS, Differences
from tpf_model.runtime.tensorrt_engine import PACKAGES, build_engine
from tpf_model.weights import load_network

from tpf_ros import cli
from tpf_ros.clip import CLIP
from tpf_ros.export import FORMATS, runs_on


def test_what_is_exported_is_checked_and_runs(tmp_path, capsys):
    out = tmp_path / "tiny.onnx"
    assert cli.main(["export", "--precision", "int8", "--out", str(out)]) == 0
    said = capsys.readouterr().out
    assert "tiny in int8 against eager float32" in said and str(out) in said and "median box" in said
    assert [path.name for path in tmp_path.iterdir()] == ["tiny.onnx"]
    assert cli.main(["info", "--weights", str(out), "--runtime", "onnx", "--json"]) == 0
    description = json.loads(capsys.readouterr().out)
    assert (description["runtime"], description["precision"], description["device"]) == ("onnx", "int8", "cpu")
    assert description["weights"] == load_network("tiny")[1]


def test_files_for_a_gpu_are_of_the_larger_model_by_default():
    models = {(kind, p): default_model(runs_on(kind, p)) for kind, precisions in FORMATS.items() for p in precisions}
    assert {way for way, model in models.items() if model == "tiny"} == {("onnx", "float32"), ("onnx", "int8")}


def test_an_engine_is_built_where_there_is_no_gpu(tmp_path):
    pytest.importorskip("tensorrt_rtx")
    out = tmp_path / "tiny.engine"
    assert cli.main(["export", "--format", "tensorrt_rtx", "--model", "tiny", "--out", str(out)]) == 0
    about = json.loads((tmp_path / "tiny.engine.json").read_text())
    network, provenance = load_network("tiny")
    assert (about["precision"], about["provenance"]) == ("float16", provenance)
    assert about["config"] == network.config.to_dict() and about["tensorrt_rtx"]
    encoder_and_head = sum(p.numel() for part in (network.encoder, network.head) for p in part.parameters())
    assert out.stat().st_size > 2 * encoder_and_head, "and holds the weights"


def test_what_tensorrt_cannot_read_is_an_error_with_its_reason():
    trt = pytest.importorskip("tensorrt_rtx")
    with pytest.raises(ValueError, match="TensorRT .* cannot read the network: .*ONNX"):
        build_engine(trt, b"no network")


def test_an_export_that_differs_too_much_is_an_error_and_not_written(tmp_path, monkeypatch, capsys):
    out = tmp_path / "tiny.onnx"
    out.write_text("the last one")
    monkeypatch.setitem(LIMITS, "int8", Differences(fused=1, score=1, size=1, offset=9, box=1e-3, median_box=9))
    assert cli.main(["export", "--model", "tiny", "--precision", "int8", "--out", str(out)]) == 1
    assert f"differs too much in box; {out} is not written" in capsys.readouterr().err
    assert out.read_text() == "the last one" and len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--out", "tiny.safetensors"], "must end in .onnx"),
        (["--out", "nowhere/tiny.onnx"], "the folder nowhere does not exist"),
        (["--out", "folder.onnx"], "folder.onnx cannot be written"),
        (["--precision", "int4"], "--precision int4: format onnx has float32, float16, int8"),
        (["--format", "tensorrt", "--precision", "int8"], "--precision int8: format tensorrt has float16, float32"),
        (["--format", "tensorrt"], "an engine needs NVIDIA's package tensorrt "),
        (["--format", "tensorrt_rtx"], "pip install tensorrt-rtx-cu12"),
        (["--check", "nowhere"], "--check nowhere does not exist"),
        (["--check", "folder.onnx"], "folder.onnx has no <target>.csv"),
        (["--check", "short"], "A.csv has 2 boxes one after the other, 12 are needed"),
        (["--check", "without_videos"], "visible.mp4 does not exist"),
        (["--model", "huge"], "unknown model 'huge'"),
    ],
)
def test_what_cannot_be_exported_is_named(tmp_path, monkeypatch, capsys, arguments, said):
    monkeypatch.chdir(tmp_path)
    for package in PACKAGES:
        monkeypatch.setitem(sys.modules, package, None)
    (tmp_path / "folder.onnx").mkdir()
    for name, frames in {"short": 3, "without_videos": 20}.items():
        (tmp_path / name).mkdir()
        rows = [f"{frame},1,1,9,9,1" for frame in range(frames)]
        (tmp_path / name / "A.csv").write_text("\n".join(["frame,x,y,w,h,visible", *rows]) + "\n")
    before = sorted(tmp_path.rglob("*"))
    assert cli.main(["export", "--out", "tiny.onnx", "--model", "tiny", *arguments]) == 2
    assert said in capsys.readouterr().err
    assert sorted(tmp_path.rglob("*")) == before


def test_a_tensorrt_that_cannot_keep_precisions_is_refused_before_any_work(tmp_path, monkeypatch, capsys):
    """As JetPack 6.0 has it."""
    old = SimpleNamespace(__version__="8.6.2", NetworkDefinitionCreationFlag=SimpleNamespace(EXPLICIT_BATCH=0))
    monkeypatch.setitem(sys.modules, "tensorrt", old)
    out = tmp_path / "small.engine"
    assert cli.main(["export", "--format", "tensorrt", "--model", "small", "--out", str(out)]) == 2
    assert "TensorRT 8.6.2 chooses layers' precisions itself: 10 or later is needed" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_a_build_machine_needs_no_ros(tmp_path):
    """In a process in which no ROS package can be imported."""
    script = (
        "import sys\n"
        "for name in ('rclpy', 'rcl_interfaces', 'sensor_msgs', 'tpf_interfaces'): sys.modules[name] = None\n"
        "from tpf_ros import cli\n"
        "sys.exit(cli.main(sys.argv[1:]))"
    )
    out = tmp_path / "tiny.onnx"
    command = [sys.executable, "-c", script, "export", "--model", "tiny", "--out", str(out), "--check", str(CLIP)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0 and out.stat().st_size > 1e7, done.stderr
    assert done.stderr == "", "and it warns of nothing"
