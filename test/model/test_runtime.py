import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from tpf_model import runtime
from tpf_model.config import load_variant
from tpf_model.cpu import multiplies_in_bfloat16
from tpf_model.crop import Crop
from tpf_model.frame import Frame
from tpf_model.registration import Registration
from tpf_model.runtime import fused_to_image, open_session
from tpf_model.runtime.cuda_graph import CudaGraphSession
from tpf_model.runtime.eager import EagerSession
from tpf_model.runtime.in_parts import SessionInParts
from tpf_model.runtime.packed_linear import PackedLinear
from tpf_model.runtime.precision import resolve_precision
from tpf_model.weights import WeightsError, load_network
from torch import nn
from torch.nn.modules.module import register_module_forward_pre_hook

RNG = np.random.default_rng(0)
VISIBLE = RNG.integers(0, 255, (256, 256, 3), np.uint8)
THERMAL = RNG.integers(0, 255, (256, 256), np.uint8)


@pytest.fixture(scope="module")
def session():
    return open_session("tiny", device="cpu", weights="random", precision="float32")


def predict(session):
    search = session.fuse(VISIBLE, THERMAL)
    template = session.prepare(session.fuse(VISIBLE[:128, :128], THERMAL[:128, :128]))
    return session.predict(template, template, search)


def test_opening_a_session_does_once_all_that_a_frame_needs(monkeypatch):
    """What a GPU compiles or plans at first use must not stop the first tracked frame."""
    learnt, learn = [], SessionInParts.learn
    monkeypatch.setattr(SessionInParts, "learn", lambda *arguments: learnt.append(learn(*arguments)) or learnt[-1])
    open_session("tiny", "cpu", weights="random")
    assert len(learnt) == 1


def test_sessions_that_threads_open_at_once_are_opened_one_after_the_other(monkeypatch):
    """CUDA graphs of two cannot be captured at once."""
    opening = []

    def warm_up(session):
        opening.append(session)
        time.sleep(0.2)
        assert opening.pop() is session and not opening

    monkeypatch.setattr(runtime, "_warm_up", warm_up)
    with ThreadPoolExecutor(2) as pool:
        sessions = list(pool.map(lambda _: open_session("tiny", "cpu", weights="random"), range(2)))
    assert sessions[0] is not sessions[1]


def test_the_info_says_what_runs(session):
    info = session.info
    assert (info.model, info.runtime, info.device, info.precision) == ("tiny", "eager", "cpu", "float32")
    assert info.scan == "native"
    assert "random" in info.weights["source"]
    assert info.parameters["total"] == sum(info.parameters[part] for part in ("pfa", "encoder", "head"))


def test_the_session_equals_the_network(session):
    network, _ = load_network("tiny", weights="random")
    rgb = torch.tensor(VISIBLE / 255, dtype=torch.float32).permute(2, 0, 1)[None]
    grey = torch.tensor(THERMAL / 255, dtype=torch.float32)[None, None].repeat(1, 3, 1, 1)
    with torch.no_grad():
        search = network.fuse(rgb, grey)
        template = network.fuse(rgb[..., :128, :128], grey[..., :128, :128])
        expected = network(template, template, search)
    assert torch.allclose(session.fuse(VISIBLE, THERMAL), search[0], atol=1e-5)
    score, size, offset = predict(session)
    assert np.allclose(score, expected.score[0, 0], atol=1e-5) and score.shape == (16, 16)
    assert np.allclose(size, expected.size[0], atol=1e-5) and size.shape == (2, 16, 16)
    assert np.allclose(offset, expected.offset[0], atol=1e-4) and offset.shape == (2, 16, 16)


def test_the_same_inputs_give_the_same_bits(session):
    other = open_session("tiny", device="cpu", weights="random", precision="float32")
    for first, again, elsewhere in zip(predict(session), predict(session), predict(other)):
        assert np.array_equal(first, again) and np.array_equal(first, elsewhere)


@pytest.mark.parametrize("packs", [True, False], ids=["packed", "not packed"])
def test_bfloat16_is_close_to_float32(session, packs, monkeypatch):
    if packs and not multiplies_in_bfloat16():
        pytest.skip("this CPU does not multiply in bfloat16")
    monkeypatch.setattr("tpf_model.runtime.eager.can_pack", lambda: packs)
    reduced = open_session("tiny", device="cpu", weights="random", precision="bfloat16")
    assert reduced.info.precision == "bfloat16"
    assert any(isinstance(module, PackedLinear) for module in reduced._network.modules()) == packs
    assert torch.equal(reduced.fuse(VISIBLE, THERMAL), session.fuse(VISIBLE, THERMAL))
    for ours, exact in zip(predict(reduced), predict(session)):
        assert ours.dtype == np.float32
        assert np.abs(ours - exact).max() < 0.02


@pytest.mark.parametrize(
    "flags, precision", [({"avx2", "avx512_bf16"}, "bfloat16"), ({"amx_bf16"}, "bfloat16"), ({"avx512f"}, "float32")]
)
def test_a_cpu_without_bfloat16_keeps_to_float32_by_any_pytorch(monkeypatch, flags, precision):
    monkeypatch.delattr(torch.cpu, "get_capabilities", raising=False)  # PyTorch 2.4 has none
    monkeypatch.setattr("tpf_model.cpu.cpu_flags", lambda: flags)
    assert resolve_precision("auto", torch.device("cpu")) == precision


def convolves_in_tf32():
    cudnn = torch.backends.cudnn
    return cudnn.conv.fp32_precision == "tf32" if hasattr(cudnn, "conv") else cudnn.allow_tf32


def test_float32_convolutions_are_not_left_to_tf32_and_the_setting_is_given_back():
    # By PyTorch's operations, as on a GPU: the compiled kernel has no convolutions of PyTorch's.
    kinds = (EagerSession, CudaGraphSession)
    sessions = [kind(*load_network("tiny", "random", "blocked"), "cpu", "float32", "blocked") for kind in kinds]
    frame, crop, straight = Frame(VISIBLE, THERMAL), Crop(0, 0, 256, 256), Registration.identity()
    seen = []
    hook = register_module_forward_pre_hook(
        lambda module, _: seen.append(convolves_in_tf32()) if isinstance(module, nn.Conv2d) else None
    )
    assert convolves_in_tf32()  # PyTorch's default
    try:
        for one in sessions:
            template = one.embed(frame, Crop(0, 0, 128, 128), straight)
            one.locate(template, template, frame, crop, straight, np.ones((16, 16), np.float32))
            one.fuse(VISIBLE, THERMAL)
            assert convolves_in_tf32() and torch.backends.cudnn.allow_tf32
    finally:
        hook.remove()
    # Stems and decoder of template and search, the head's 5, and those of the image that is fused alone.
    assert seen == [False] * 2 * (3 + 3 + 5 + 3)


def test_the_newer_setting_of_convolutions_may_be_in_use(session):
    if not hasattr(torch.backends.cudnn, "conv"):
        pytest.skip("PyTorch 2.9 has it")
    conv = torch.backends.cudnn.conv
    before, conv.fp32_precision = conv.fp32_precision, "ieee"
    try:
        session.fuse(VISIBLE, THERMAL)
        assert conv.fp32_precision == "ieee"
    finally:
        conv.fp32_precision = before


def test_a_network_in_memory_can_be_run():
    network, provenance = load_network("tiny", weights="random")
    session = EagerSession(network.train(), provenance)
    assert not network.training
    assert predict(session)[0].shape == (16, 16)


def test_images_of_any_size_are_fused(session):
    fused = session.fuse(VISIBLE[:123, :77], THERMAL[:123, :77])
    assert fused.shape == (3, 123, 77)
    assert fused_to_image(fused).shape == (123, 77, 3)


def test_a_fused_image_saturates_and_does_not_wrap():
    fused = torch.tensor([-0.1, 0.0, 0.5, 1.0, 1.2]).expand(3, 1, 5)
    assert fused_to_image(fused)[0, :, 0].tolist() == [0, 0, 128, 255, 255]


@pytest.mark.parametrize(
    "arguments, reason",
    [
        ({"model": "huge"}, "unknown model 'huge'"),
        ({"runtime": "tensorrt"}, "unknown runtime 'tensorrt'; known: auto, eager, cuda_graph, onnx"),
        ({"device": "tpu9"}, "unknown device 'tpu9'"),
        ({"device": "mps"}, "unknown device 'mps'"),
        ({"precision": "int8"}, "cannot run in 'int8'; known: auto, float32, bfloat16, float16; runtime 'onnx' has it"),
        ({"threads": -1}, "threads"),
        ({"scan": "quick"}, "unknown scan 'quick'"),
    ],
)
def test_what_cannot_be_opened_is_refused_by_name(arguments, reason):
    with pytest.raises(ValueError, match=reason):
        open_session(**{"model": "tiny", "weights": "random", **arguments})


def test_a_gpu_that_is_not_there_is_an_error_that_says_so():
    absent = f"cuda:{torch.cuda.device_count()}"
    with pytest.raises(ValueError, match=f"device '{absent}'"):
        open_session("tiny", device=absent, weights="random")


@pytest.mark.parametrize("runtime", ["auto", "onnx"])
def test_a_session_on_the_cpu_is_of_the_model_that_is_fast_enough_and_says_so(runtime):
    session = open_session(device="cpu", runtime=runtime)
    assert session.config == load_variant("tiny") and session.info.model == "tiny"


def test_a_missing_weights_file_is_named(tmp_path):
    with pytest.raises(WeightsError, match="nothing.safetensors"):
        open_session("tiny", weights=tmp_path / "nothing.safetensors")
