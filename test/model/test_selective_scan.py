import logging
import subprocess
import sys

import pytest
import torch

import tpf_model.selective_scan as module
from tpf_model.selective_scan import ScanBackendError, resolve_backend, selective_scan


def operands(batch=1, groups=1, channels=4, states=4, tokens=256, dtype=torch.float32, seed=0):
    """u, delta, A, B, C, D. All positive on average, so that states build up and errors do not cancel."""
    generator = torch.Generator().manual_seed(seed)

    def draw(*shape):
        return torch.rand(*shape, generator=generator, dtype=dtype)

    u, delta = draw(batch, channels, tokens), draw(batch, channels, tokens) * 0.1
    A = -torch.arange(1, states + 1, dtype=dtype).repeat(channels, 1)
    B, C = draw(batch, groups, states, tokens), draw(batch, groups, states, tokens)
    return [u, delta, A, B, C, draw(channels)]


def error(actual, expected):
    """Largest difference relative to the expected tensor's scale."""
    return ((actual - expected).abs().max() / expected.abs().max().clamp(min=1e-30)).item()


BACKENDS = pytest.mark.parametrize("backend", ["blocked", "native"])

# Step sizes by the decay they cause; "slow" is constant, so that a rounding error of the decay adds up over all tokens.
DECAYS = {
    "normal": lambda delta: 0.001 + delta,
    "slow": lambda delta: torch.full_like(delta, 1.03e-6),
    "fast": lambda delta: 1 + 10 * delta,
}


@BACKENDS
def test_matches_the_reference_over_65536_tokens_at_every_decay(backend):
    u, delta, A, B, C, D = operands(batch=3, channels=2, tokens=65536)
    delta = torch.stack([decay(row) for decay, row in zip(DECAYS.values(), delta)])
    expected = selective_scan(u, delta, A, B, C, torch.zeros_like(D), "reference")
    actual = selective_scan(u, delta, A, B, C, torch.zeros_like(D), backend)
    for name, row, wanted in zip(DECAYS, actual, expected):
        assert error(row, wanted) < 1e-5, name


@BACKENDS
@pytest.mark.parametrize("decay", DECAYS)
def test_float32_gradients_match_the_reference(backend, decay):
    inputs = operands(batch=2, channels=2, tokens=2048)
    inputs[1] = DECAYS[decay](inputs[1])
    inputs = [x.requires_grad_() for x in inputs]
    expected, actual = (selective_scan(*inputs, name) for name in ("reference", backend))
    weight = torch.rand_like(actual)
    names = ("u", "delta", "A", "B", "C", "D")
    for name, wanted, got in zip(
        names, torch.autograd.grad(expected, inputs, weight), torch.autograd.grad(actual, inputs, weight)
    ):
        assert error(got, wanted) < 2e-5, name


@pytest.mark.parametrize("tokens", [1, 2, 5, 64, 77])
def test_any_length_and_groups_are_exact_in_float64(tokens):
    inputs = operands(2, groups=2, channels=6, states=3, tokens=tokens, dtype=torch.float64)
    inputs = [x.requires_grad_() for x in inputs]
    expected, actual = (selective_scan(*inputs, backend) for backend in ("reference", "blocked"))
    torch.testing.assert_close(actual, expected, rtol=1e-12, atol=1e-12)
    weight = torch.randn_like(actual)
    for wanted, got in zip(torch.autograd.grad(expected, inputs, weight), torch.autograd.grad(actual, inputs, weight)):
        torch.testing.assert_close(got, wanted, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("backend", ["reference", "blocked"])  # native is float32: it is held to the reference above
def test_gradients_are_those_of_finite_differences(backend):
    # 18 tokens: nine chunks of two
    inputs = operands(groups=2, channels=2, states=2, tokens=18, dtype=torch.float64)
    inputs = [x.requires_grad_() for x in inputs]
    assert torch.autograd.gradcheck(lambda *x: selective_scan(*x, backend), inputs)


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("channels, states", [(2, 1), (30, 16), (32, 5), (34, 3), (80, 2)])
@pytest.mark.parametrize("tokens", [1, 31, 32, 65])
def test_native_takes_any_size_and_number_of_threads(tokens, channels, states, threads):
    inputs = [x.requires_grad_() for x in operands(2, groups=2, channels=channels, states=states, tokens=tokens)]
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        expected, actual = (selective_scan(*inputs, name) for name in ("reference", "native"))
        weight = torch.rand_like(actual)
        gradients = [torch.autograd.grad(y, inputs, weight.to(y.dtype)) for y in (expected, actual)]
    finally:
        torch.set_num_threads(before)
    assert error(actual, expected) < 1e-6
    for wanted, got in zip(*gradients):
        assert error(got, wanted) < 2e-6 and got.shape == wanted.shape


@pytest.mark.parametrize("decay", DECAYS)
def test_triton_matches_the_reference_over_long_sequences_at_every_decay(triton_device, decay):
    tokens = 65536 if triton_device == "cuda" else 300  # in the interpreter
    inputs = [x.to(triton_device) for x in operands(channels=2, states=16, tokens=tokens)]
    inputs[1] = DECAYS[decay](inputs[1])
    inputs[5] = torch.zeros_like(inputs[5])
    inputs = [x.requires_grad_() for x in inputs]
    expected, actual = (selective_scan(*inputs, name) for name in ("reference", "triton"))
    assert error(actual, expected) < 1e-5
    weight = torch.rand_like(actual)
    gradients = [torch.autograd.grad(y, inputs[:5], weight.to(y.dtype)) for y in (expected, actual)]
    for name, wanted, got in zip(("u", "delta", "A", "B", "C"), *gradients):
        assert error(got, wanted) < 2e-5, name


@pytest.mark.parametrize("channels, states", [(2, 1), (34, 16), (80, 3)])
@pytest.mark.parametrize("tokens", [1, 50])
def test_triton_takes_any_size(triton_device, tokens, channels, states):
    inputs = operands(2, groups=2, channels=channels, states=states, tokens=tokens)
    inputs = [x.to(triton_device).requires_grad_() for x in inputs]
    expected, actual = (selective_scan(*inputs, name) for name in ("reference", "triton"))
    weight = torch.rand_like(actual)
    gradients = [torch.autograd.grad(y, inputs, weight.to(y.dtype)) for y in (expected, actual)]
    assert error(actual, expected) < 1e-6
    for wanted, got in zip(*gradients):
        assert error(got, wanted) < 2e-6 and got.shape == wanted.shape


@pytest.mark.parametrize("step", [0.0, 1e-30, 1e3])
def test_triton_stays_finite_at_extreme_steps(triton_device, step):
    inputs = [x.to(triton_device) for x in operands(tokens=100)]
    inputs[1] = torch.full_like(inputs[1], step)
    inputs = [x.requires_grad_() for x in inputs]
    y = selective_scan(*inputs, backend="triton")
    assert y.isfinite().all()
    assert all(gradient.isfinite().all() for gradient in torch.autograd.grad(y.sum(), inputs))


def test_triton_scans_half_precision_in_float32(triton_device):
    inputs = [x.bfloat16().to(triton_device) for x in operands(tokens=500)]
    inputs[1] = torch.full_like(inputs[1], 1e-4)
    actual = selective_scan(*inputs, backend="triton")
    assert actual.dtype == torch.float32
    assert error(actual, selective_scan(*inputs, backend="reference")) < 1e-5


def test_groups_are_separate_scans():
    u, delta, A, B, C, D = operands(groups=2, channels=4)
    together = selective_scan(u, delta, A, B, C, D)
    for group, rows in enumerate((slice(0, 2), slice(2, 4))):
        alone = selective_scan(u[:, rows], delta[:, rows], A[rows], B[:, group], C[:, group], D[rows])
        torch.testing.assert_close(together[:, rows], alone)


@BACKENDS
@pytest.mark.parametrize("step", [0.0, 1e-30, 1e3])
def test_extreme_steps_stay_finite_forward_and_backward(step, backend):
    inputs = operands(tokens=512)
    inputs[1] = torch.full_like(inputs[1], step)
    inputs = [x.requires_grad_() for x in inputs]
    y = selective_scan(*inputs, backend=backend)
    assert y.isfinite().all()
    assert all(gradient.isfinite().all() for gradient in torch.autograd.grad(y.sum(), inputs))


@BACKENDS
def test_half_precision_inputs_are_scanned_in_float32(backend):
    inputs = [x.bfloat16() for x in operands(tokens=2048)]
    inputs[1] = torch.full_like(inputs[1], 1e-4)  # a bfloat16 state would stop growing after a few hundred such steps
    actual = selective_scan(*inputs, backend=backend)
    assert actual.dtype == torch.float32
    assert error(actual, selective_scan(*inputs, backend="reference")) < 1e-5


def test_auto_is_native_on_the_cpu():
    assert resolve_backend("auto", "cpu") == "native"


def test_auto_is_blocked_and_says_so_where_native_was_not_compiled(monkeypatch, caplog):
    module._choose.cache_clear()
    monkeypatch.setattr(module.native, "_native", None)
    monkeypatch.setattr(module.native, "_reason", "it was not compiled", raising=False)
    assert resolve_backend("auto", "cpu") == "blocked"
    assert "blocked, several times slower" in caplog.text
    assert "native cannot run: it was not compiled" in caplog.text
    with pytest.raises(ScanBackendError, match="'native' cannot run: it was not compiled"):
        resolve_backend("native", "cpu")
    module._choose.cache_clear()


@pytest.mark.parametrize(
    "broken, chosen", [((), "triton"), (("triton",), "mamba"), (("triton", "mamba"), "blocked")], ids=str
)
def test_auto_on_cuda_is_the_first_that_can_run(monkeypatch, caplog, broken, chosen):
    module._choose.cache_clear()
    for name in ("triton", "mamba"):
        reason = f"no {name}" if name in broken else None
        monkeypatch.setitem(module._UNAVAILABLE, name, lambda device, reason=reason: reason)
    assert resolve_backend("auto", "cuda") == chosen
    for name in broken:
        assert (f"{name} cannot run: no {name}" in caplog.text) == (chosen == "blocked")
    module._choose.cache_clear()


@pytest.mark.parametrize("prefix, reason", [
    ("import os; os.environ.pop('TRITON_INTERPRET', None)", "it runs on CUDA only, not on 'cpu'"),
    ("import sys; sys.modules['triton'] = None", "Triton is not installed or broken: import of triton halted"),
], ids=["no interpreter", "not installed"])  # fmt: skip
def test_triton_that_cannot_run_says_why_and_what_can(prefix, reason):
    code = f"""{prefix}
import torch
from tpf_model.vim import ViMBlock
tokens = torch.zeros(1, 4, 8)
with torch.no_grad():
    assert ViMBlock(8)(tokens).shape == tokens.shape
    ViMBlock(8, scan="triton")(tokens)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    last = done.stderr.splitlines()[-1]
    assert f"ScanBackendError: scan 'triton' cannot run: {reason}" in last and "'auto' or 'blocked' can" in last


def test_auto_keeps_float64():
    inputs = operands(dtype=torch.float64)
    assert error(selective_scan(*inputs), selective_scan(*inputs, backend="reference")) < 1e-12


def test_a_backend_that_cannot_run_is_an_error_with_the_reason():
    with pytest.raises(ScanBackendError, match="'mamba' cannot run: .*CUDA only"):
        selective_scan(*operands(tokens=4), backend="mamba")


@pytest.fixture
def mamba_ssm(monkeypatch, tmp_path):
    """A package of that name whose kernel checks its operands as the real one does; returns its folder."""
    (tmp_path / "mamba_ssm/ops").mkdir(parents=True)
    (tmp_path / "mamba_ssm/ops/selective_scan_interface.py").write_text("""
import torch
from tpf_model.selective_scan.reference import reference_scan
selective_scan_cuda = object()

def selective_scan_fn(u, delta, A, B, C, D=None, z=None, delta_bias=None, delta_softplus=False):
    batch, channels, tokens = u.shape
    groups, states = B.shape[1], A.shape[1]
    assert {x.dtype for x in (u, delta, A, B, C, D)} == {torch.float32}
    assert delta.shape == u.shape and A.shape == (channels, states) and D.shape == (channels,)
    assert B.shape == C.shape == (batch, groups, states, tokens) and channels % groups == 0
    assert all(x.stride(-1) == 1 or x.shape[-1] == 1 for x in (u, delta, B, C, D)) and not delta_softplus
    return reference_scan(u, delta, A, B, C, D).float()
""")
    monkeypatch.syspath_prepend(tmp_path)
    module.mamba._import_error.cache_clear()
    yield tmp_path
    module.mamba._import_error.cache_clear()
    for name in [name for name in sys.modules if name.partition(".")[0] == "mamba_ssm"]:
        del sys.modules[name]


def test_mamba_gets_operands_as_its_kernel_wants_them(mamba_ssm):
    assert module.mamba.unavailable_reason(torch.device("cuda")) is None
    u, delta, A, B, C, D = (x.bfloat16() for x in operands(2, groups=2, channels=6, states=3, tokens=20))
    B, u = B.transpose(2, 3).contiguous().transpose(2, 3), u.transpose(1, 2).contiguous().transpose(1, 2)
    y = module.mamba.mamba_scan(u, delta, A, B, C, D)
    assert y.dtype == torch.float32 and error(y, selective_scan(u, delta, A, B, C, D, "reference")) < 1e-6


@pytest.mark.parametrize(
    "source, reason",
    [
        ("selective_scan_cuda = None", "there without its CUDA kernel: install it with MAMBA_KEEP_CUDA_BUILD=TRUE"),
        ("import not_there", "not installed or broken: ModuleNotFoundError: No module named 'not_there'"),
        ("raise RuntimeError('another CUDA')", "not installed or broken: RuntimeError: another CUDA"),
    ],
    ids=["no kernel", "import", "raises"],
)
def test_mamba_that_cannot_run_says_why(mamba_ssm, source, reason):
    (mamba_ssm / "mamba_ssm/ops/selective_scan_interface.py").write_text(source)
    assert reason in module.mamba.unavailable_reason(torch.device("cuda"))


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA GPU")
def test_triton_without_a_gpu_says_so():
    with pytest.raises(ScanBackendError, match="'triton' cannot run: PyTorch finds no CUDA GPU or driver"):
        resolve_backend("triton", "cuda")


def test_an_unknown_backend_is_an_error_that_lists_the_known_ones():
    with pytest.raises(ScanBackendError, match="'fast'.*auto, reference, blocked, native, triton, mamba"):
        resolve_backend("fast", "cpu")


def test_the_backend_in_use_is_logged_once(caplog):
    module.log_backend.cache_clear()
    with caplog.at_level(logging.INFO):
        for _ in range(3):
            selective_scan(*operands(tokens=4))
    assert [record.getMessage() for record in caplog.records] == ["selective scan: native on cpu"]
