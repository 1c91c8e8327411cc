import itertools
import socket
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import torch

from tpf_model.config import load_variant
from tpf_model.frame import Frame
from tpf_model.fusion import PixelFusionAdapter
from tpf_model.runtime import in_parts, open_session
from tpf_model.timing import stages
from tpf_model.timing.cost import adapter_cost, count_flops, gpu_floor, scan_flops
from tpf_model.timing.machine import describe_machine
from tpf_model.timing.side_by_side import WARM_UP, Timings, time_side_by_side
from tpf_model.timing.spread import Spread
from tpf_model.timing.stages import time_stages
from tpf_model.timing.threads import pinned_threads
from tpf_model.tracker import Tracker, TrackerConfig
from tpf_model.vim import ViMBlock
from tpf_model.weights import RANDOM


def test_candidates_are_measured_in_turns():
    called = []
    calls = {name: lambda name=name: called.append(name) for name in "ab"}
    times = time_side_by_side(calls, rounds=(4, 4), single=True)
    assert called == ["a"] * WARM_UP + ["b"] * WARM_UP + ["a", "b"] * 4
    assert [len(seconds) for seconds in times.seconds.values()] == [4, 4]


def test_a_short_call_is_repeated_until_the_clock_can_tell():
    count = itertools.count()
    time_side_by_side({"short": lambda: next(count)}, rounds=(1, 1))
    assert next(count) > 2 * WARM_UP


def test_the_time_allowed_ends_the_rounds_but_not_before_the_fewest():
    assert len(time_side_by_side({"a": int}, seconds=0, rounds=(6, 50)).seconds["a"]) == 6


def test_a_ratio_is_that_of_each_round():
    times = Timings({"a": np.array([1.0, 20.0, 3.0]), "b": np.array([1.0, 10.0, 1.0])})
    assert times.ratio("a", "b") == Spread(2.0, 1.5, 2.5)  # of the medians it would be 3
    assert times.spread("a") == Spread(3.0, 2.0, 11.5)


def test_threads_are_pinned_and_given_back():
    before = torch.get_num_threads(), cv2.getNumThreads()
    with pytest.raises(KeyError), pinned_threads(3):
        assert (torch.get_num_threads(), cv2.getNumThreads()) == (3, 3)
        raise KeyError
    assert (torch.get_num_threads(), cv2.getNumThreads()) == before


def test_the_machine_is_described_without_its_name():
    assert "cores" in describe_machine() and torch.__version__ in describe_machine()
    assert socket.gethostname() not in describe_machine()


@pytest.mark.parametrize("model", ["tiny", "small"])
def test_operations_are_those_of_the_formulas(model):
    config, counted = load_variant(model), count_flops(load_variant(model))
    length, width, searched = 1 + 2 * config.template_tokens + config.search_tokens, config.width, config.search_tokens

    def block(looked_at: int) -> int:
        """qkv of all tokens; scores and sums of attention, proj and MLP of those that are looked at."""
        return 3 * length * width**2 + looked_at * (2 * length * width + 9 * width**2)

    patches = searched * 3 * config.patch**2 * width
    assert counted["encode"] == 2 * ((config.depth - 1) * block(length) + block(searched) + patches)
    widths = [config.head_channels // divisor for divisor in (1, 2, 4, 8)]
    branch = 9 * sum(a * b for a, b in itertools.pairwise([width, *widths]))
    assert counted["head"] == 2 * searched * (3 * branch + 5 * widths[-1])


def test_the_scan_and_the_adapter_are_counted_as_they_are():
    assert scan_flops(tokens=10, channels=2, states=4) == 10 * 2 * (4 * 7 + 3)
    seen = []
    adapter = PixelFusionAdapter(2)
    for block in adapter.modules():
        if isinstance(block, ViMBlock):
            block.register_forward_hook(lambda block, inputs, _: seen.append((inputs[0], block.A_log.numel())))
    adapter(*torch.rand(2, 1, 3, 32, 32))
    counted = adapter_cost(32, 2)
    assert counted.decays == sum(tokens.shape[1] * rates for tokens, rates in seen)
    images = 3 * 3 * 32 * 32
    assert counted.bytes == 4 * (images + 2 * sum(tokens.numel() for tokens, _ in seen))


def test_the_count_of_the_adapter_has_its_products_and_its_scans():
    tokens, stems, decoder = 64**2, 2 * 8 * 3 * 25, 48 * 16 * 25
    blocks = 0
    for length, dim in ((tokens, 8), (tokens, 8), (2 * tokens, 8), (tokens, 16)):
        inner = 2 * dim
        products = dim * 2 * inner + inner * dim + 2 * (33 * inner + inner)  # in, out; x and dt of both directions
        blocks += 2 * (length * products + (length + 3) * 4 * 2 * inner) + scan_flops(length, 2 * inner, 16)
    assert count_flops(load_variant("tiny"))["fuse"] == 2 * tokens * (stems + decoder) + blocks


def test_the_floor_is_that_of_the_slower_of_exponentials_and_memory(monkeypatch):
    h200 = SimpleNamespace(
        name="H200", multi_processor_count=132, clock_rate=1_980_000, memory_clock_rate=3_201_000, memory_bus_width=6144
    )
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: h200)
    cost_of_base = adapter_cost(256, 1)
    assert gpu_floor(cost_of_base, "cuda") == pytest.approx(3072 * 65536 / (132 * 16 * 1.98e9))
    h200.memory_bus_width = 64
    assert gpu_floor(cost_of_base, "cuda") == pytest.approx(cost_of_base.bytes / (2 * 3.201e9 * 8))
    h200.clock_rate = 0
    with pytest.raises(ValueError, match="clocks of H200"):
        gpu_floor(cost_of_base, "cuda")
    del h200.clock_rate, h200.memory_clock_rate  # as in PyTorch 2.4
    with pytest.raises(ValueError, match="clocks of H200"):
        gpu_floor(cost_of_base, "cuda")


@pytest.fixture(scope="module")
def session():
    return open_session("tiny", "cpu", "eager", RANDOM)


@pytest.fixture
def track(session):
    frame = Frame(np.zeros((120, 160, 3), np.uint8), np.zeros((120, 160), np.uint8))
    # A new template is fused in every frame, after the search crop: that is no second fuse stage.
    tracker = Tracker(session, TrackerConfig(template_interval=1, template_score=0, coast_score=0))
    tracker.init(frame, (60, 40, 24, 40))
    return lambda: tracker.track(frame)


def test_each_stage_has_its_own_time_and_all_add_up(session, track, monkeypatch):
    """By a clock that only the stages themselves move."""
    now = [0.0]
    monkeypatch.setattr(stages.time, "perf_counter", lambda: now[0])
    network = session._network
    for seconds, owner, name in (
        (1, in_parts, "crop_pair"),
        (2, session, "_fuse_images"),
        (4, network.encoder, "encode"),
        (8, network.head, "forward"),
        (16, in_parts, "decode"),
    ):
        monkeypatch.setattr(owner, name, _moving(now, seconds, getattr(owner, name)))
    times = time_stages(session, track, "cpu", 2)
    assert {name: values.tolist() for name, values in times.items()} == {
        "crop": [1, 1],
        "fuse": [2, 2],
        "encode": [4, 4],
        "head": [8, 8],
        "decode": [16 + 1 + 2] * 2,  # with the new template's crop and fusion
    }
    assert "fuse" not in vars(session) and "predict" not in vars(session)


def _moving(now, seconds, function):
    def moved(*arguments, **named):
        now[0] += seconds
        return function(*arguments, **named)

    return moved


def test_a_session_that_runs_a_frame_as_one_has_no_stages(session, track):
    class AsOne(type(session)):
        def locate(self, *arguments):
            return super().locate(*arguments)

    as_one = AsOne.__new__(AsOne)
    vars(as_one).update(vars(session))
    assert time_stages(as_one, track, "cpu", 1) is None
