"""The Triton kernels of ViM blocks give what the blocks' definition gives, and compile for GPUs."""

import copy
import json
import os
import subprocess
import sys

import pytest
import torch

from tpf_model.fusion import PixelFusionAdapter, swap_channels
from tpf_model.runtime.precision import full_float32
from tpf_model.vim import ViMBlock
from tpf_model.vim_triton import _pack_all, runs_triton, triton_blocks, triton_joined_block


@pytest.fixture(autouse=True)
def convolutions_in_float32():
    """As in a session: a GPU's default for them, TF32, is a hundred times less exact than what is asserted here."""
    with full_float32():
        yield


def shaken(module):
    """Every weight away from its initial value, so that none can be left out or taken from a wrong place unseen."""
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter) * parameter.abs().mean().clamp(min=0.1))
    return module


def shaken_block(dim, device, seed=0, **options):
    torch.manual_seed(seed)
    return shaken(ViMBlock(dim, scan="triton", **options)).to(device)


def exact(block, tokens):
    """By the definition, in float64."""
    block = copy.deepcopy(block).double()
    block.scan = "reference"
    return block(tokens.double())


def error(actual, expected):
    return ((actual - expected).abs().max() / expected.abs().max()).item()


@pytest.mark.parametrize(
    "dim, states, expand, length",
    [(8, 16, 2, 1), (8, 16, 2, 16), (8, 16, 2, 83), (16, 16, 2, 40), (16, 5, 2, 19), (4, 1, 4, 33), (16, 16, 4, 18)],
)
@torch.no_grad()
def test_matches_the_definition_in_float64(triton_device, dim, states, expand, length):
    block = shaken_block(dim, triton_device, states=states, expand=expand)
    tokens = torch.randn(2, length, dim, device=triton_device)
    assert runs_triton(block, tokens)
    assert error(block(tokens), exact(block, tokens)) < 2e-6


@pytest.mark.parametrize("bias", [-14.0, 3.0])  # step sizes of 8e-7, about 3
@torch.no_grad()
def test_matches_the_definition_at_every_decay(triton_device, bias):
    length = 65536 if triton_device == "cuda" else 200
    block, tokens = shaken_block(8, triton_device), torch.randn(1, length, 8, device=triton_device)
    block.dt_bias.fill_(bias)
    assert error(block(tokens), exact(block, tokens)) < 1e-5


@torch.no_grad()
def test_reversing_the_tokens_swaps_the_directions(triton_device):
    forward = shaken_block(8, triton_device)
    backward = copy.deepcopy(forward)
    for name, value in backward.named_parameters():
        if not name.startswith(("norm", "in_proj", "out_proj")):
            value.copy_(value.view(2, -1).flip(0).view_as(value))
    tokens = torch.randn(1, 37, 8, device=triton_device)
    torch.testing.assert_close(backward(tokens.flip(1)).flip(1), forward(tokens))


@torch.no_grad()
def test_both_modalities_in_one_launch_are_two_blocks_and_a_swap(triton_device):
    blocks = [shaken_block(8, triton_device, seed) for seed in (0, 1)]
    tokens = torch.randn(2, 2, 21, 8, device=triton_device)
    alone = [exact(block, tokens[:, i]) for i, block in enumerate(blocks)]
    for wanted, together in (
        (alone, triton_blocks(blocks, tokens)),
        (swap_channels(*alone), triton_blocks(blocks, tokens, swap=True)),
    ):
        for i in range(2):
            assert error(together[:, i], wanted[i]) < 2e-6


@torch.no_grad()
def test_a_block_reads_two_sequences_as_if_joined(triton_device):
    block, tokens = shaken_block(16, triton_device), torch.randn(2, 2, 21, 8, device=triton_device)
    assert error(triton_joined_block(block, tokens), exact(block, torch.cat(tokens.unbind(1), dim=2))) < 2e-6


@torch.no_grad()
def test_changed_weights_are_read_anew(triton_device):
    block, tokens = shaken_block(8, triton_device), torch.randn(1, 5, 8, device=triton_device)
    block(tokens)
    for change in (
        lambda: block.D.add_(1),
        lambda: block.load_state_dict(shaken_block(8, triton_device, seed=3).state_dict()),
        lambda: setattr(block, "A_log", torch.nn.Parameter(block.A_log + 1)),
    ):
        change()
        assert error(block(tokens), exact(block, tokens)) < 2e-6


@torch.no_grad()
def test_extreme_tokens_stay_finite(triton_device):
    block = shaken_block(8, triton_device)
    for scale in (0.0, 1e-20, 1e6):
        assert block(scale * torch.randn(1, 20, 8, device=triton_device)).isfinite().all()


@pytest.mark.parametrize("stride, size", [(1, 12), (4, 23)])
@torch.no_grad()
def test_the_adapter_is_that_of_blocked_scans(triton_device, stride, size):
    torch.manual_seed(0)
    adapter = shaken(PixelFusionAdapter(stride, "triton")).to(triton_device)
    definition = PixelFusionAdapter(stride, "blocked").to(triton_device)
    definition.load_state_dict(adapter.state_dict())
    images = torch.rand(2, 1, 3, size, size, device=triton_device)
    assert error(adapter(*images), definition(*images)) < 1e-5


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA GPU: 65,536 tokens take the interpreter too long")
@torch.no_grad()
def test_the_adapter_at_full_size_chooses_the_kernels_by_itself():
    torch.manual_seed(0)
    adapter = shaken(PixelFusionAdapter(1)).cuda()
    images = torch.rand(2, 1, 3, 256, 256, device="cuda")
    assert runs_triton(adapter.visible_block, torch.zeros(1, 1, 8, device="cuda"))
    definition = PixelFusionAdapter(1, "blocked").cuda()
    definition.load_state_dict(adapter.state_dict())
    assert error(adapter(*images), definition(*images)) < 1e-5


@pytest.mark.parametrize(
    "prepare",
    [
        lambda block, tokens: (block, tokens.double()),
        lambda block, tokens: (block, tokens.bfloat16()),
        lambda block, tokens: (shaken_block(8, tokens.device, expand=3), tokens),
        lambda block, tokens: (shaken_block(8, tokens.device, states=17), tokens),
        lambda block, tokens: (shaken_block(12, tokens.device), tokens.repeat(1, 1, 2)[..., :12]),
    ],
    ids=["float64", "bfloat16", "inner 24", "17 states", "12 channels"],
)
@torch.no_grad()
def test_the_definition_runs_where_the_kernels_do_not(triton_device, prepare):
    block, tokens = prepare(shaken_block(8, triton_device), torch.randn(1, 5, 8, device=triton_device))
    assert not runs_triton(block, tokens)
    if tokens.dtype == torch.float32:
        assert error(block(tokens), exact(block, tokens)) < 2e-6


def gradients(module, inputs, weight):
    """Of the sum of `weight` times the result, to the inputs ("0", "1", ...) and to the parameters, by name."""
    inputs = [x.detach().clone().requires_grad_() for x in inputs]
    names = [str(i) for i in range(len(inputs))] + [name for name, _ in module.named_parameters()]
    return dict(zip(names, torch.autograd.grad(module(*inputs), [*inputs, *module.parameters()], weight)))


def exact_gradients(block, inputs, weight):
    """By the definition, in float64."""
    block = copy.deepcopy(block).double()
    for part in block.modules():
        if isinstance(part, ViMBlock):
            part.scan = "reference"
    return gradients(block, [x.double() for x in inputs], weight.double())


def assert_same_gradients(actual, wanted, bound):
    assert actual.keys() == wanted.keys()
    for name, value in actual.items():
        assert value.shape == wanted[name].shape
        # The largest difference, of the gradient's own scale; where it is 0, exactly.
        assert (value - wanted[name]).abs().max() <= bound * wanted[name].abs().max(), name


@pytest.mark.parametrize(
    "dim, states, expand, batch, length",
    [(8, 16, 2, 2, 1), (8, 16, 2, 1, 75), (16, 16, 2, 2, 21), (16, 5, 2, 1, 16), (4, 1, 4, 1, 17), (16, 16, 4, 1, 3)],
)
def test_gradients_match_the_definition_in_float64(triton_device, dim, states, expand, batch, length):
    block = shaken_block(dim, triton_device, states=states, expand=expand)
    tokens, weight = torch.randn(2, batch, length, dim, device=triton_device)
    assert runs_triton(block, tokens)
    assert_same_gradients(gradients(block, [tokens], weight), exact_gradients(block, [tokens], weight), 6e-6)


@pytest.mark.parametrize("bias", [-14.0, 3.0])  # step sizes of 8e-7, about 3
def test_gradients_match_the_definition_at_every_decay(triton_device, bias):
    length = 65536 if triton_device == "cuda" else 70
    block = shaken_block(8, triton_device)
    torch.nn.init.constant_(block.dt_bias, bias)
    tokens, weight = torch.randn(2, 1, length, 8, device=triton_device)
    assert_same_gradients(gradients(block, [tokens], weight), exact_gradients(block, [tokens], weight), 1e-5)


def test_gradients_are_those_of_finite_differences(triton_device):
    """Of the definition's values, along random directions: automatic differentiation has no part in it."""
    block = shaken_block(8, triton_device)
    tokens, weight = torch.randn(2, 1, 18, 8, device=triton_device)
    for name, gradient in gradients(block, [tokens], weight).items():
        direction = torch.randn_like(gradient)
        moved = [copy.deepcopy(block).double() for _ in range(2)]
        inputs = [tokens.double() for _ in moved]
        with torch.no_grad():
            for sign, one, x in zip((1, -1), moved, inputs):
                (x if name == "0" else one.get_parameter(name)).add_(sign * 1e-5 * direction)
            above, below = ((exact(one, x) * weight).sum() for one, x in zip(moved, inputs))
        wanted = (above - below) / 2e-5
        scale = (gradient * direction).abs().sum()
        assert abs((gradient * direction).sum() - wanted) < 1e-5 * scale, name


def test_the_adapter_learns_as_by_the_definition(triton_device):
    """Both modalities in one launch, exchanged channels, and channels of two sequences read as if joined."""
    torch.manual_seed(0)
    adapter = shaken(PixelFusionAdapter(1, "triton")).to(triton_device)
    images, weight = torch.rand(2, 1, 3, 4, 5, device=triton_device), torch.rand(1, 3, 4, 5, device=triton_device)
    assert_same_gradients(gradients(adapter, images, weight), exact_gradients(adapter, images, weight), 1e-5)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA GPU: 65,536 tokens take the interpreter too long")
def test_the_adapter_at_full_size_learns_as_by_the_definition_and_the_same_every_time():
    torch.manual_seed(0)
    adapter = shaken(PixelFusionAdapter(1)).cuda()
    block, tokens = adapter.token_block, torch.randn(1, 131072, 8, device="cuda")
    once, again = (gradients(block, [tokens], torch.ones_like(tokens)) for _ in range(2))
    assert all(torch.equal(once[name], again[name]) for name in once)
    images, weight = torch.rand(2, 1, 3, 256, 256, device="cuda"), torch.rand(1, 3, 256, 256, device="cuda")
    definition = PixelFusionAdapter(1, "blocked").cuda().double()
    definition.load_state_dict(adapter.state_dict())
    wanted = gradients(definition, images.double(), weight.double())
    assert_same_gradients(gradients(adapter, images, weight), wanted, 1e-5)


@pytest.mark.parametrize("dim, documented", [(8, 184), (16, 368)])
def test_of_the_sequence_only_tokens_and_states_of_tiles_are_kept(triton_device, monkeypatch, dim, documented):
    """documented: bytes a token in docs/gpu.md, where a span has 8 tiles."""
    block, length = shaken_block(dim, triton_device), 128
    monkeypatch.setattr("tpf_model.selective_scan.triton._SPANS", 1)

    def kept(call):
        sizes = {}

        def keep(x):
            sizes[x.data_ptr()] = x.nbytes
            return x

        with torch.autograd.graph.saved_tensors_hooks(keep, lambda x: x):
            result = call()  # it holds what was kept, so that nothing else comes to lie there
        return sum(sizes.values()), result

    of_packing, packed = kept(lambda: _pack_all([block]))
    of_all, _ = kept(lambda: block(torch.randn(1, length, dim, device=triton_device)))
    assert of_all - of_packing - sum(x.nbytes for x in packed) == documented * length


def test_extreme_tokens_leave_gradients_finite(triton_device):
    block, (tokens, weight) = shaken_block(8, triton_device), torch.randn(2, 3, 16, 8, device=triton_device)
    tokens *= torch.tensor([0.0, 1e-20, 1e6], device=triton_device)[:, None, None]
    assert all(x.isfinite().all() for x in gradients(block, [tokens], weight).values())


def test_a_frozen_block_and_tokens_without_gradients_are_left_alone(triton_device):
    block, tokens = shaken_block(8, triton_device), torch.randn(1, 5, 8, device=triton_device)
    wanted = gradients(block, [tokens], torch.ones_like(tokens))
    block(tokens).sum().backward()
    torch.testing.assert_close(block.in_proj.weight.grad, wanted["in_proj.weight"])
    block.requires_grad_(False)
    assert not block(tokens).requires_grad
    tokens.requires_grad_()
    block(tokens).sum().backward()
    torch.testing.assert_close(tokens.grad, wanted["0"])


def test_where_the_kernels_do_not_run_gradients_come_from_the_definition_over_our_scan(triton_device):
    block = shaken_block(12, triton_device)
    tokens, weight = torch.randn(2, 2, 20, 12, device=triton_device)
    assert not runs_triton(block, tokens)
    assert_same_gradients(gradients(block, [tokens], weight), exact_gradients(block, [tokens], weight), 1e-5)


COMPILE = r"""
import json, re, subprocess, sys
import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource
from tpf_model import vim_triton_backward as back, vim_triton_kernels as vim
from tpf_model.selective_scan import triton_kernels as scan

def compiled(kernel, architecture, num_warps, ones=(), **constants):
    names = kernel.arg_names
    constants = {name: value for name, value in constants.items() if name in names}
    constants |= {name: 1 for name in ones}  # Triton takes arguments that are 1 as constants
    integers = {"blocks", "length", "batch_stride", "block_stride", "half_stride", "share"}
    if kernel.__module__ == scan.__name__:
        integers = {"blocks", "tokens", "channels", "states", "groups", "spans"}
    kind = {name: "i32" for name in integers} | {name: "constexpr" for name in constants}
    signature = {name: kind.get(name, "*fp32") for name in names}
    aligned = {(i,): [["tt.divisibility", 16]] for i, n in enumerate(names) if signature[n] == "*fp32"}
    values = {(names.index(n),): value for n, value in constants.items()}
    source = ASTSource(kernel, signature, values, aligned)
    target = GPUTarget("cuda", architecture, 32)
    return triton.compile(source, target=target, options={"num_warps": num_warps, "num_stages": 1})

def cases(architecture):
    size = {"T": 16, "N": 16, "SPAN": 8}
    for E in (16, 32):
        block = size | {"E": E, "C": E // 2, "HALF": 8, "WEIGHTS": 4096, "SWAP": E == 16}
        yield f"block {E}, local", vim.vim_local_kernel, E // 16, ["blocks"], block
        yield f"block {E}, output", vim.vim_output_kernel, E // 16, [], block
        yield f"block {E}, local gradient", back.vim_local_gradient_kernel, E // 16, ["blocks"], block
        yield f"block {E}, scan gradient", back.vim_scan_gradient_kernel, E // 4, [], block
        ones = ["blocks", "share"]
        yield f"block {E}, projections' gradient", back.vim_projection_gradient_kernel, E // 4, ones, block
        yield f"block {E}, tokens' gradient", back.vim_token_gradient_kernel, 4, [], block
    if architecture < 90:
        return
    yield "carry", scan.carry_kernel, 4, [], {"N": 16, "E": 16, "SPANS": 512, "STATES": 8}
    trial, ones = {"T": 16, "N": 1, "E": 16, "SPAN": 1}, ["tokens", "channels", "states", "blocks", "groups"]
    yield "trial, local", scan.local_kernel, 1, ones, trial | {"REVERSE": False}
    yield "trial, output", scan.output_kernel, 1, ones, trial
    yield "trial, carry", scan.carry_kernel, 4, ["spans", "groups"], {"N": 1, "E": 16, "SPANS": 1, "STATES": 8}
    size["E"] = 32
    yield "scan, local", scan.local_kernel, 2, ["blocks", "groups"], size | {"REVERSE": False}
    yield "scan, local, reverse", scan.local_kernel, 2, [], size | {"REVERSE": True}
    yield "scan, output", scan.output_kernel, 2, [], size
    yield "scan, gradient", scan.gradient_kernel, 8, [], size

architecture = int(sys.argv[1])
for name, kernel, warps, ones, constants in cases(architecture):
    result = compiled(kernel, architecture, warps, ones, **constants)
    file = f"{architecture}.cubin"
    with open(file, "wb") as cubin:
        cubin.write(result.asm["cubin"])
    tool = triton.knobs.nvidia.cuobjdump.path
    usage = subprocess.run([tool, "-res-usage", file], capture_output=True, text=True).stdout
    registers, stack = map(int, re.search(r"REG:(\d+) STACK:(\d+)", usage).groups())
    kernel = {"kernel": f"{name}, sm_{architecture}", "registers": registers, "stack": stack}
    print(json.dumps(kernel | {"shared": result.metadata.shared}))
"""


def test_every_kernel_compiles_for_h100_and_orin_and_hardly_spills(tmp_path):
    """The interpreter checks what the kernels compute; whether Triton's compiler takes them needs no GPU either."""
    pytest.importorskip("triton")
    environment = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}
    environment["PYTHONPATH"] = os.pathsep.join(sys.path)
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    running = [
        subprocess.Popen([sys.executable, "-c", COMPILE, architecture], cwd=tmp_path, env=environment, **pipes)
        for architecture in ("90", "87")
    ]
    kernels = []
    for process in running:
        out, errors = process.communicate(timeout=600)
        assert process.returncode == 0, errors[-2000:]
        kernels += [json.loads(line) for line in out.splitlines()]
    assert len(kernels) == 32
    for kernel in kernels:
        assert kernel["stack"] <= 256, kernel  # bytes a thread
        assert kernel["shared"] <= 48 * 1024, kernel  # what every GPU gives a block
