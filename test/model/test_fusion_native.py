"""The compiled adapter gives what the adapter's definition gives, and runs only where it can."""

import copy
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch

import tpf_model.fusion as module
from tpf_model.fusion import AdditionFusion, PixelFusionAdapter
from tpf_model.fusion_native import runs_native
from tpf_model.runtime.fuse import fusion_of_images


def shaken(stride=4, **options):
    """Every weight away from its initial value, so that none can be left out or taken from a wrong place unseen."""
    torch.manual_seed(0)
    adapter = PixelFusionAdapter(stride, **options)
    with torch.no_grad():
        for parameter in adapter.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter) * parameter.abs().mean().clamp(min=0.1))
    return adapter


def images(height=20, width=24, batch=1):
    torch.manual_seed(1)
    return torch.rand(2, batch, 3, height, width).unbind()


def definition(adapter, visible, thermal):
    """In float64, the scan by PyTorch."""
    return copy.deepcopy(adapter).double()(visible.double(), thermal.double())


def error(actual, expected):
    return ((actual - expected).abs().max() / expected.abs().max()).item()


@pytest.mark.parametrize("stride", [1, 2, 4])
@pytest.mark.parametrize("size", [(1, 1), (5, 9), (23, 33), (64, 66)], ids=str)
@torch.no_grad()
def test_matches_the_definition_in_float64(stride, size):
    adapter, pair = shaken(stride), images(*size, batch=2)
    assert runs_native(adapter, *pair)
    assert error(adapter(*pair), definition(adapter, *pair)) < 2e-6


@pytest.mark.parametrize("stride", [1, 2, 4])
@torch.no_grad()
def test_images_of_8_bit_are_the_same_images(stride):
    visible = np.random.default_rng(0).integers(0, 256, (37, 60, 3), np.uint8)
    visible, thermal = visible[:, 4:53], visible[:, 4:53, 1]  # a crop, and one of every third value
    rgb = torch.from_numpy(visible).permute(2, 0, 1)[None] / 255
    grey = torch.from_numpy(thermal).expand(1, 3, *thermal.shape) / 255
    adapter = shaken(stride)
    assert error(fusion_of_images(adapter)(visible, thermal)[None], definition(adapter, rgb, grey)) < 2e-6


@pytest.mark.parametrize(
    ("visible", "thermal"),
    [(np.zeros((8, 8, 3)), np.zeros((8, 8), np.uint8)), (np.zeros((8, 8, 3), np.uint8), np.zeros((4, 8), np.uint8))],
    ids=["float", "sizes"],
)
def test_images_that_the_kernel_would_misread_are_refused(visible, thermal):
    with pytest.raises(ValueError, match=r"visible and thermal are \(8, 8, 3\) .*, must be \(H, W, 3\) uint8"):
        fusion_of_images(shaken())(visible, thermal)


@torch.no_grad()
def test_images_may_be_any_view():
    adapter, (visible, thermal) = shaken(), images()
    turned = [image.permute(0, 3, 2, 1).contiguous().permute(0, 3, 2, 1) for image in (visible, thermal)]
    assert torch.equal(adapter(*turned), adapter(visible, thermal))


@pytest.mark.parametrize("bias", [-14.0, 0.0, 3.0])  # step sizes of 8e-7, about 1, about 3
@torch.no_grad()
def test_matches_the_definition_over_131072_tokens_at_every_decay(bias):
    adapter, pair = shaken(1), images(256, 256)
    for block in (adapter.visible_block, adapter.thermal_block, adapter.token_block, adapter.channel_block):
        block.dt_bias.fill_(bias)
    assert error(adapter(*pair), definition(adapter, *pair)) < 1e-5


@torch.no_grad()
def test_steps_so_long_that_nothing_of_the_past_is_left():
    adapter, pair = shaken(), images()
    for block in (adapter.visible_block, adapter.token_block, adapter.channel_block):
        block.dt_bias[::2] = 1e3
        block.A_log[::3] = 12.0  # decays of exp(-1e8), beside others that are slow
    assert error(adapter(*pair), definition(adapter, *pair)) < 2e-6


@torch.no_grad()
def test_extreme_images_stay_finite():
    visible, thermal = images()
    for scale in (0.0, 1e-20, 1e6):
        assert shaken()(scale * visible, scale * thermal).isfinite().all()


@pytest.mark.parametrize(
    "options, dtype, autocast",
    [({}, torch.float64, False), ({}, torch.float32, True), ({"scan": "blocked"}, torch.float32, False)],
    ids=["float64", "autocast", "forced"],
)
@torch.no_grad()
def test_the_definition_runs_where_the_kernel_does_not(options, dtype, autocast):
    adapter, image = shaken(**options).to(dtype), images()[0].to(dtype)
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        assert not runs_native(adapter, image, image)
        assert adapter(image, image).shape == image.shape


@pytest.mark.parametrize(
    "change",
    [lambda image: image[:, :1], lambda image: image[..., 4:], lambda image: image.double(), lambda image: image[:1]],
    ids=["channels", "size", "type", "batch"],
)
@torch.no_grad()
def test_a_thermal_image_that_the_kernel_would_misread_is_for_the_definition(change):
    adapter, (visible, thermal) = shaken(), images(batch=2)
    thermal = change(thermal)
    assert not runs_native(adapter, visible, thermal)
    if len(thermal) == 1:  # one for both
        assert error(adapter(visible, thermal), adapter(visible, thermal.expand(2, -1, -1, -1))) < 2e-6
    else:
        with pytest.raises(RuntimeError):
            adapter(visible, thermal)


def test_gradients_come_from_the_definition(monkeypatch):
    adapter = shaken()
    monkeypatch.setattr(module, "native_fuse", lambda *_: pytest.fail("the kernel has no gradient"))
    adapter(*images()).sum().backward()
    assert all(parameter.grad is not None for parameter in adapter.parameters())


@torch.no_grad()
def test_the_mean_needs_no_kernel():
    grey = np.full((4, 4), 100, np.uint8)
    assert torch.allclose(fusion_of_images(AdditionFusion())(np.dstack([grey] * 3), grey), torch.tensor(100 / 255))


@pytest.fixture
def threads():
    """`torch.set_num_threads`, for the test."""
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


@pytest.mark.parametrize("stride, size", [(4, (1, 1)), (4, (30, 50)), (1, (21, 19))])
@torch.no_grad()
def test_any_number_of_threads_gives_the_same_bits(threads, stride, size):
    adapter, pair = shaken(stride), images(*size, batch=2)
    results = []
    for count in (1, 2, 3):
        threads(count)
        results.append(adapter(*pair))
    assert torch.equal(results[0], results[1]) and torch.equal(results[0], results[2])


def test_several_callers_at_once_do_not_disturb_each_other(threads):
    threads(2)
    cases = [(shaken(stride), images(80, width)) for stride, width in ((4, 160), (2, 90), (4, 150), (2, 80))]

    @torch.no_grad()
    def run(case):
        return [case[0](*case[1]) for _ in range(5)]

    expected = [run(case)[0] for case in cases]
    with ThreadPoolExecutor(len(cases)) as pool:
        for results, wanted in zip(pool.map(run, cases), expected):
            assert all(torch.equal(result, wanted) for result in results)


@torch.no_grad()
def test_other_python_threads_run_meanwhile():
    adapter, pair = shaken(1), images(256, 256)
    adapter(*images(1, 1))  # packs the weights
    seen, done = [], threading.Event()

    def watch():
        while not done.is_set():
            seen.append(time.perf_counter())
            time.sleep(0.001)

    def seen_in_the_middle():  # at its ends a call holds Python's lock
        begin = time.perf_counter()
        adapter(*pair)
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
    adapter, pair = shaken(), images()
    before = adapter(*pair)
    for name, parameter in list(adapter.named_parameters()):
        if change == "in place":
            parameter.mul_(1.5)
        else:
            owner = adapter.get_submodule(name.rpartition(".")[0])
            setattr(owner, name.rpartition(".")[2], torch.nn.Parameter(1.5 * parameter))
        after = adapter(*pair)
        assert not torch.equal(after, before), name
        assert error(after, definition(adapter, *pair)) < 2e-6, name
        before = after
