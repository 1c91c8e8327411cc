"""The ONNX session, and the files it runs, against the network itself on the real clip."""

import copy
import sys
from dataclasses import astuple
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from tpf_model.frame import Frame
from tpf_model.runtime import onnx_export, onnx_session, open_session
from tpf_model.runtime.eager import EagerSession
from tpf_model.runtime.export_check import LIMITS, compare_sessions
from tpf_model.runtime.onnx_export import export_onnx
from tpf_model.runtime.onnx_int8 import even_out
from tpf_model.runtime.onnx_session import OnnxSession
from tpf_model.tracker import Tracker, TrackerConfig
from tpf_model.weights import WeightsError, load_network

from tpf_ros.ground_truth import read_ground_truth
from tpf_ros.labelled_frames import read_labelled_frames
from tpf_ros.sources import open_source

CLIP = Path(__file__).resolve().parents[1] / "data/0117_1620"


@pytest.fixture(scope="module")
def network():
    return load_network("tiny")


@pytest.fixture(scope="module")
def eager(network):
    return EagerSession(*copy.deepcopy(network), "cpu", "float32")  # it takes it over


@pytest.fixture(scope="module")
def files(network):
    return {precision: export_onnx(*network, precision) for precision in LIMITS}


@pytest.fixture(scope="module")
def labelled():
    return read_labelled_frames(CLIP, 6)


@pytest.mark.parametrize(
    ("precision", "score", "box"), [("float32", 1e-4, 0.1), ("float16", 1e-3, 0.2), ("int8", 5e-3, 0.5)]
)
def test_the_maps_and_boxes_are_those_of_the_network(eager, files, labelled, precision, score, box):
    differences = compare_sessions(eager, OnnxSession(files[precision], "file"), *labelled)
    assert differences.fused == 0
    assert max(differences.score, differences.size, differences.offset / 4) < score and differences.box < box
    assert differences.above(LIMITS[precision]) == []
    # What is called reduced is so.
    assert precision == "float32" or differences.score > 1e-5


@pytest.mark.parametrize(("adds", "largest"), [(True, 127), (False, 64)])
def test_weights_have_8_bits_where_this_cpu_adds_such_products_and_7_in_a_file(monkeypatch, made, files, adds, largest):
    monkeypatch.setattr(onnx_export, "adds_8_bit_products", lambda: adds)
    open_session("tiny", runtime="onnx", precision="int8")
    assert largest_weight(made[0]) == largest and largest_weight(files["int8"]) == 64


@pytest.fixture
def made(monkeypatch):
    """The files that sessions export for themselves."""
    files = []

    def export(*given, **options):
        files.append(export_onnx(*given, **options))
        return files[-1]

    monkeypatch.setattr(onnx_session, "export_onnx", export)
    return files


@pytest.mark.parametrize(("precision", "score"), [("float32", 1e-4), ("int8", 5e-3)])
def test_a_session_of_weights_has_attention_in_one_operator(made, eager, labelled, precision, score):
    session = open_session("tiny", "cpu", "onnx", precision=precision)
    assert [node.op_type for node in onnx.load_from_string(made[0]).graph.node].count("MultiHeadAttention") == 6
    differences = compare_sessions(eager, session, *labelled)
    assert differences.above(LIMITS[precision]) == [] and differences.score < score


def largest_weight(file: bytes) -> int:
    tensors = [tensor for tensor in onnx.load_from_string(file).graph.initializer if tensor.name.endswith("_int8")]
    return max(int(np.abs(numpy_helper.to_array(tensor).astype(int)).max()) for tensor in tensors)


def test_another_network_is_found_out(eager, labelled):
    other = OnnxSession(export_onnx(*load_network("tiny", "random")), "file")
    differences = compare_sessions(eager, other, *labelled)
    assert differences.above(LIMITS["int8"]) == ["fused", "score", "size", "offset", "median_box"]
    broken = type(differences)(*[float("nan")] * len(astuple(differences)))
    assert len(broken.above(LIMITS["int8"])) == len(astuple(broken)), "what is not a number is above every limit"


def test_a_target_is_tracked_to_the_same_boxes_through_a_change_of_the_template(eager):
    onnx_session = open_session("tiny", "cpu", "onnx", precision="float32", threads=torch.get_num_threads())
    truth = read_ground_truth(CLIP / "A.csv")
    start = min(truth)
    sources = (open_source(str(CLIP / f"{name}.mp4"), name) for name in ("visible", "thermal"))
    config = TrackerConfig(template_interval=5, template_score=0.0)
    trackers = [Tracker(session, config) for session in (eager, onnx_session)]
    for number, (visible, thermal) in enumerate(zip(*sources)):
        if number < start:
            continue
        frame = Frame(visible.load(), thermal.load())
        if number == start:
            for tracker in trackers:
                tracker.init(frame, truth[start])
            continue
        exact, ours = (tracker.track(frame) for tracker in trackers)
        assert np.abs(np.subtract(exact.box, ours.box)).max() < 0.1
        assert ours.state == exact.state and abs(ours.score - exact.score) < 1e-3
        if number == start + 12:
            return


def test_a_file_needs_nothing_beside_it(files, eager, tmp_path):
    path = tmp_path / "tracker.onnx"
    path.write_bytes(files["int8"])
    for runtime, model in (("onnx", "tiny"), ("auto", "auto")):
        info = open_session(model, runtime=runtime, weights=path).info
        assert (info.model, info.runtime, info.precision, info.device) == ("tiny", "onnx", "int8", "cpu")
        assert (info.weights, info.parameters, info.scan) == (eager.info.weights, eager.info.parameters, "native")


def test_the_graph_is_static_and_of_operators_that_every_runtime_has(files):
    for precision, file in files.items():
        model = onnx.load_from_string(file)
        onnx.checker.check_model(model)
        assert [opset.version for opset in model.opset_import] == [17] and model.ir_version <= 9
        shapes = {
            value.name: [size.dim_value for size in value.type.tensor_type.shape.dim]
            for value in (*model.graph.input, *model.graph.output)
        }
        assert shapes == {
            "template": [1, 3, 128, 128],
            "dynamic": [1, 3, 128, 128],
            "search": [1, 3, 256, 256],
            "score": [1, 1, 16, 16],
            "size": [1, 2, 16, 16],
            "offset": [1, 2, 16, 16],
        }
        kinds = [node.op_type for node in model.graph.node]
        assert not {"Scan", "CumSum", "Loop", "If"} & set(kinds)
        assert kinds.count("MatMulInteger") == (4 * 6 if precision == "int8" else 0), "all layers of six blocks"
    assert len(files["int8"]) < len(files["float32"]) / 2 and len(files["float16"]) < len(files["float32"]) * 0.55


def test_evening_out_changes_the_ranges_and_not_the_result():
    encoder = load_network("tiny", "random")[0].encoder
    generator = torch.Generator().manual_seed(0)
    for block in encoder.blocks:
        for norm in (block.norm1, block.norm2):
            norm.weight.data = torch.exp(torch.randn(192, generator=generator))
            norm.bias.data = torch.randn(192, generator=generator)
    spread = encoder.blocks[0].norm1.weight.std()
    crops = [torch.rand(1, 3, side, side, generator=generator) for side in (128, 128, 256)]
    with torch.no_grad():
        before = encoder(*crops)
        even_out(encoder)
        assert torch.allclose(encoder(*crops), before, atol=1e-4)
    assert encoder.blocks[0].norm1.weight.std() < spread / 2


def test_the_network_is_not_changed_by_an_export(network):
    before = {name: tensor.clone() for name, tensor in network[0].state_dict().items()}
    for precision in ("float16", "int8"):
        export_onnx(*network, precision)
    assert all(torch.equal(tensor, before[name]) for name, tensor in network[0].state_dict().items())


def test_its_threads_are_as_many_as_asked_for_and_do_not_wait_in_loops(files):
    options = OnnxSession(files["int8"], "file", threads=2)._session.get_session_options()
    assert (options.intra_op_num_threads, options.inter_op_num_threads) == (2, 1)
    assert options.get_session_config_entry("session.intra_op.allow_spinning") == "0"


def flipped(file: bytes) -> bytes:
    middle = len(file) // 2
    return file[:middle] + bytes([file[middle] ^ 1]) + file[middle + 1 :]


def of_another_tool(file: bytes) -> bytes:
    value = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1])
    output = helper.make_tensor_value_info("y", TensorProto.FLOAT, [1])
    graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "other", [value], [output])
    opsets = [helper.make_opsetid("", 17)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=8).SerializeToString()


def of_another_layout(file: bytes) -> bytes:
    model = onnx.load_from_string(file)
    for entry in model.metadata_props:
        entry.value = "0" if entry.key == "tpf_layout" else entry.value
    return model.SerializeToString()


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda file: b"", "is damaged, or no ONNX file"),
        (lambda file: b"tracker", "is damaged, or no ONNX file"),
        (lambda file: file[: len(file) // 2], "is damaged, or no ONNX file"),
        (flipped, "its checksum is wrong"),
        (lambda file: file[:-76], "its checksum is wrong"),  # an entry less in the metadata: still an ONNX file
        (of_another_tool, "was not written by `tpf export`"),
        (of_another_layout, "export it again"),
    ],
)
def test_a_damaged_or_foreign_file_is_named(files, tmp_path, damage, said):
    path = tmp_path / "tracker.onnx"
    path.write_bytes(damage(files["int8"]))
    with pytest.raises(WeightsError, match=f"weights file .*tracker.onnx.*{said}"):
        open_session("tiny", runtime="onnx", weights=path)


@pytest.mark.parametrize(
    ("precision", "arguments", "said"),
    [
        ("int8", {"model": "small"}, "holds another model: name=tiny"),
        ("int8", {"precision": "float32"}, "holds int8, but precision is 'float32'"),
        ("int8", {"runtime": "eager"}, "runtime 'onnx' runs, not 'eager'"),
        ("int8", {"device": "cuda"}, "device is 'cuda', must be auto or cpu"),
        ("float16", {}, "holds float16; runtime 'onnx' runs: float32, int8"),
        (None, {}, "cannot be read: No such file"),
    ],
)
def test_a_file_that_does_not_suit_is_refused_with_the_reason(files, tmp_path, precision, arguments, said):
    path = tmp_path / "tracker.onnx"
    if precision:
        path.write_bytes(files[precision])
    with pytest.raises(ValueError, match=said):
        open_session(**{"model": "tiny", "runtime": "onnx", "weights": path, **arguments})


def test_a_precision_that_it_does_not_have_is_refused():
    with pytest.raises(ValueError, match="cannot run in 'bfloat16'; known: auto, float32, int8"):
        open_session("tiny", runtime="onnx", precision="bfloat16")


@pytest.mark.parametrize("package", ["onnx", "onnxruntime"])
def test_a_package_that_is_missing_is_named(monkeypatch, package):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ValueError, match=f"pip install {package}$"):
        open_session("tiny", runtime="onnx", weights="random")


def test_a_pytorch_whose_exporter_fails_is_named(network, monkeypatch):
    monkeypatch.setattr(torch, "__version__", type(torch.__version__)("2.4.1+cu121"))
    with pytest.raises(ValueError, match="needs PyTorch 2.5 or newer, this is 2.4.1"):
        export_onnx(network, {})
