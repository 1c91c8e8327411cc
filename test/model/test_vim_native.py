"""The compiled block gives what the block's definition gives, and runs only where it can."""

import copy
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

import tpf_model.vim as module
from tpf_model.vim import ViMBlock
from tpf_model.vim_native import native_block, runs_native


def shaken_block(dim, **options):
    """Every weight away from its initial value, so that none can be left out or taken from a wrong place unseen."""
    torch.manual_seed(0)
    block = ViMBlock(dim, **options)
    with torch.no_grad():
        for parameter in block.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter) * parameter.abs().mean().clamp(min=0.1))
    return block


def error(actual, expected):
    return ((actual - expected).abs().max() / expected.abs().max()).item()


@pytest.mark.parametrize("dim, states, expand", [(8, 16, 2), (16, 16, 2), (16, 5, 3), (4, 1, 4), (16, 16, 4)])
@pytest.mark.parametrize("length", [1, 3, 4, 31, 32, 33, 200])
@torch.no_grad()
def test_matches_the_definition_in_float64(dim, states, expand, length):
    block, tokens = shaken_block(dim, states=states, expand=expand), torch.randn(3, length, dim)
    assert runs_native(block, tokens)
    assert error(block(tokens), copy.deepcopy(block).double()(tokens.double())) < 2e-6


@pytest.mark.parametrize("bias", [-14.0, 0.0, 3.0])  # step sizes of 8e-7, about 1, about 3
@torch.no_grad()
def test_matches_the_definition_over_65536_tokens_at_every_decay(bias):
    block, tokens = shaken_block(8), torch.randn(1, 65536, 8)
    block.dt_bias.fill_(bias)
    assert error(block(tokens), copy.deepcopy(block).double()(tokens.double())) < 1e-5


@torch.no_grad()
def test_extreme_tokens_stay_finite():
    block = shaken_block(8)
    for scale in (0.0, 1e-20, 1e6):
        assert native_block(block, scale * torch.randn(1, 100, 8)).isfinite().all()


@torch.no_grad()
def test_tokens_may_be_any_view():
    block, tokens = shaken_block(8), torch.randn(2, 8, 50)
    torch.testing.assert_close(block(tokens.transpose(1, 2)), block(tokens.transpose(1, 2).contiguous()))


@pytest.mark.parametrize(
    "prepare",
    [
        lambda block, tokens: (block, tokens.double()),
        lambda block, tokens: (block, tokens.bfloat16()),
        lambda block, tokens: (shaken_block(8, scan="blocked"), tokens),
        lambda block, tokens: (shaken_block(8, expand=3), tokens),
        lambda block, tokens: (shaken_block(8, states=17), tokens),
    ],
    ids=["float64", "bfloat16", "forced", "inner 24", "17 states"],
)
@torch.no_grad()
def test_the_definition_runs_where_the_kernel_does_not(prepare):
    block, tokens = prepare(shaken_block(8), torch.randn(1, 10, 8))
    assert not runs_native(block, tokens)
    if tokens.dtype == torch.float32:
        assert block(tokens).shape == tokens.shape


def test_gradients_come_from_the_definition(monkeypatch):
    block, tokens = shaken_block(8), torch.randn(1, 10, 8)
    monkeypatch.setattr(module, "native_block", lambda *_: pytest.fail("the kernel has no gradient"))
    block(tokens).sum().backward()
    assert all(parameter.grad is not None for parameter in block.parameters())


@pytest.fixture
def threads():
    """`torch.set_num_threads`, for the test."""
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


@pytest.mark.parametrize("dim, length", [(8, 1), (8, 2), (16, 333)])
@torch.no_grad()
def test_any_number_of_threads_gives_the_same_bits(threads, dim, length):
    block, tokens = shaken_block(dim), torch.randn(2, length, dim)
    results = []
    for count in (1, 2, 3):
        threads(count)
        results.append(block(tokens))
    assert torch.equal(results[0], results[1]) and torch.equal(results[0], results[2])


def test_several_callers_at_once_do_not_disturb_each_other(threads):
    threads(2)
    cases = [(shaken_block(dim), torch.randn(1, 3000, dim)) for dim in (8, 16, 8, 16)]

    @torch.no_grad()
    def run(case):
        return [case[0](case[1]) for _ in range(5)]

    expected = [run(case)[0] for case in cases]
    with ThreadPoolExecutor(len(cases)) as pool:
        for results, wanted in zip(pool.map(run, cases), expected):
            assert all(torch.equal(result, wanted) for result in results)


@torch.no_grad()
def test_other_python_threads_run_meanwhile():
    block, tokens = shaken_block(8), torch.randn(1, 2**18, 8)
    block(tokens[:, :1])  # packs the weights
    seen, done = [], threading.Event()

    def watch():
        while not done.is_set():
            seen.append(time.perf_counter())
            time.sleep(0.001)

    def seen_in_the_middle():  # at its ends a call holds Python's lock
        begin = time.perf_counter()
        block(tokens)
        quarter = (time.perf_counter() - begin) / 4
        return any(begin + quarter < moment < begin + 3 * quarter for moment in seen)

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        assert any(seen_in_the_middle() for _ in range(10))  # a busy machine may keep the other thread waiting, once
    finally:
        done.set()
        watcher.join()


@pytest.mark.parametrize("change", ["in place", "replaced"])
@torch.no_grad()
def test_changed_weights_are_used_at_once(change):
    tokens = torch.randn(1, 40, 8)
    block = shaken_block(8)
    before = block(tokens)
    for name, parameter in list(block.named_parameters()):
        if change == "in place":
            parameter.mul_(1.5)
        else:
            owner = block.get_submodule(name.rpartition(".")[0])
            setattr(owner, name.rpartition(".")[2], torch.nn.Parameter(1.5 * parameter))
        after = block(tokens)
        assert not torch.equal(after, before), name
        assert error(after, copy.deepcopy(block).double()(tokens.double())) < 2e-6, name
        before = after


@torch.no_grad()
def test_steps_so_long_that_nothing_of_the_past_is_left():
    block, tokens = shaken_block(16), torch.randn(1, 100, 16)
    block.dt_bias[::2] = 1e3
    block.A_log[::3] = 12.0  # decays of exp(-1e8), beside others that are slow
    assert error(block(tokens), copy.deepcopy(block).double()(tokens.double())) < 2e-6
