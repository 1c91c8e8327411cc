"""The compiled blocks give what their definition gives, and run only where they can."""

import copy
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from tpf_model.backbone import VisionTransformer
from tpf_model.encoder_native import NativeBlocks, has_native_blocks, use_native_blocks
from tpf_model.runtime import open_session
from tpf_model.weights import load_network


def make_encoder(width=192, depth=2, heads=3):
    """Every weight away from its initial value, so that none can be left out or taken from a wrong place unseen."""
    torch.manual_seed(0)
    encoder = VisionTransformer(width, depth, heads, 16, 64, 256)
    for parameter in encoder.blocks.parameters():
        parameter.data.add_(0.5 * torch.randn_like(parameter) * parameter.abs().mean().clamp(min=0.1))
    return encoder


def definition(blocks, x, keep=0):
    """In float64."""
    x = x.double()
    for number, block in enumerate(copy.deepcopy(blocks).double(), 1):
        x = block(x, keep if number == len(blocks) else 0)
    return x


def error(actual, expected):
    return ((actual - expected).abs().max() / expected.abs().max()).item()


@pytest.mark.parametrize("tokens, keep", [(1, 1), (5, 2), (31, 0), (65, 64), (385, 256), (385, 0)])
@pytest.mark.parametrize("width, heads", [(192, 3), (384, 6), (64, 1), (256, 2)])
@torch.no_grad()
def test_matches_the_definition_in_float64(width, heads, tokens, keep):
    blocks = make_encoder(width, 2, heads).blocks
    x = torch.randn(2, tokens, width)
    given, found = x.clone(), NativeBlocks(blocks)(x, keep)
    assert error(found, definition(blocks, x, keep)) < 2e-6 and found.shape == (2, keep or tokens, width)
    assert torch.equal(x, given)


@pytest.mark.parametrize("model", ["tiny", "small", "base"])
@torch.no_grad()
def test_an_encoder_with_it_is_the_same_function(model):
    torch.manual_seed(0)
    encoder = load_network(model, "random" if model == "base" else None)[0].encoder
    crops = torch.rand(1, 3, 128, 128), torch.rand(1, 3, 128, 128), torch.rand(1, 3, 256, 256)
    expected = copy.deepcopy(encoder).double()(*(crop.double() for crop in crops))
    assert has_native_blocks(encoder)
    encoder.fold()
    use_native_blocks(encoder)
    assert error(encoder(*crops), expected) < 2e-6


@torch.no_grad()
def test_any_view_and_type_of_tokens():
    blocks = make_encoder().blocks
    native, x = NativeBlocks(blocks), torch.randn(192, 2, 40)
    wanted = native(x.permute(1, 2, 0).contiguous())
    assert torch.equal(native(x.permute(1, 2, 0)), wanted)
    assert torch.equal(native(x.permute(1, 2, 0).double()), wanted)


@pytest.mark.parametrize("size", [1e-20, 1e4, 1e15])
@torch.no_grad()
def test_extreme_tokens_are_the_definitions(size):
    blocks = make_encoder().blocks
    x = size * torch.randn(1, 50, 192)
    found = NativeBlocks(blocks)(x)
    assert error(found, definition(blocks, x)) < 1e-5


@torch.no_grad()
def test_attention_to_one_token_alone():
    blocks = make_encoder(depth=1).blocks
    blocks[0].attn.qkv.weight[:384] *= 100  # scores of thousands: all but the largest come to nothing
    x = torch.randn(1, 385, 192)
    found = NativeBlocks(blocks)(x)
    assert error(found, definition(blocks, x)) < 1e-3  # float32 scores of this size are that inexact


@pytest.fixture
def threads():
    """`torch.set_num_threads`, for the test."""
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


@pytest.mark.parametrize("tokens, keep", [(1, 0), (40, 7), (385, 256)])
@torch.no_grad()
def test_any_number_of_threads_gives_the_same_bits(threads, tokens, keep):
    native, x, results = NativeBlocks(make_encoder().blocks), torch.randn(1, tokens, 192), []
    for count in (1, 2, 3, 7):
        threads(count)
        results.append(native(x, keep))
    assert all(torch.equal(results[0], result) for result in results)


def test_several_callers_at_once_do_not_disturb_each_other(threads):
    threads(2)
    native = NativeBlocks(make_encoder().blocks)
    cases = [torch.randn(1, tokens, 192) for tokens in (385, 100, 385, 50)]

    @torch.no_grad()
    def run(x):
        return [native(x) for _ in range(5)]

    expected = [run(x)[0] for x in cases]
    with ThreadPoolExecutor(len(cases)) as pool:
        for results, wanted in zip(pool.map(run, cases), expected):
            assert all(torch.equal(result, wanted) for result in results)


def test_heads_that_are_no_whole_vectors_are_for_the_definition():
    assert not has_native_blocks(make_encoder(width=60, heads=3))


@pytest.mark.parametrize("precision, runs", [("float32", True), ("bfloat16", False)])
def test_a_session_on_a_cpu_uses_it_for_float32(precision, runs):
    session = open_session("tiny", device="cpu", weights="random", precision=precision)
    assert any(isinstance(module, NativeBlocks) for module in session._network.modules()) == runs
