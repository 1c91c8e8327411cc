"""Rows of a GPU: the fusion adapter at full resolution, its training, and `base`'s frame."""

import dataclasses
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import torch

from tpf_model.config import AUTO, load_variant
from tpf_model.fusion import PixelFusionAdapter
from tpf_model.network import TPFNetwork
from tpf_model.runtime import TPFSession
from tpf_model.selective_scan import ScanBackendError, resolve_backend
from tpf_model.timing.cost import adapter_cost, gpu_floor
from tpf_model.timing.side_by_side import time_side_by_side
from tpf_model.timing.spread import Spread
from tpf_model.weights import save_network
from tpf_ros.bench.conditions import Conditions
from tpf_ros.bench.row import Measured, NotMeasured, Results, Target
from tpf_ros.bench.sessions import SEARCH_SIZE, adapter_call, frame_call, label, open_here, open_plain
from tpf_ros.child_process import ChildProcess

ADAPTER = (
    Target("gpu.adapter_against_mamba", "fusion adapter, full resolution: mamba-ssm's time / ours", "x", ">=", 10),
    Target("gpu.adapter_against_floor", "the same: ours / the least that the GPU needs, computed", "x", "<=", 5),
)
FRAME = (
    Target("gpu.frame_adapter_cost", "whole base frame: with the adapter / with the mean instead", "x", "<=", 1.1),
    Target("gpu.frame_rate", "whole base frame, batch 1", "FPS", ">=", 400),
    Target("gpu.frame_against_eager", "whole base frame: eager PyTorch's time / ours", "x", ">=", 4),
)
TRAINING = (
    Target(
        "gpu.training_against_scan",
        "forward and backward of the adapter's longest block (131,072 tokens): PyTorch around our scan / our kernels",
        "x",
        ">=",
        1,
    ),
)
MEMORY = (Target("gpu.memory", "GPU memory of a process that tracks with base", "GB", "<=", 1),)
COMPILED = (
    Target(
        "gpu.adapter_against_compiled",
        "fusion adapter, full resolution: the blocked scan's time under torch.compile / ours",
        "x",
        ">=",
        20,
    ),
)

_OURS = "triton"
_RUNTIME = "cuda_graph"


def measure_adapter(conditions: Conditions) -> Results:
    """At full resolution: 256 x 256 pixels, one token a pixel; each candidate as a CUDA graph, as a frame is one."""
    device = conditions.gpu()
    calls, missing = {"ours": adapter_call(_OURS, device)}, None
    try:
        calls["mamba"] = adapter_call("mamba", device)
    except NotMeasured as reason:
        missing = reason
    times = time_side_by_side(calls, device, conditions.seconds, conditions.rounds)
    parts = times.milliseconds()
    name = torch.cuda.get_device_name(device)
    mamba, against_floor = (target.name for target in ADAPTER)
    return {
        mamba: missing or Measured(times.ratio("mamba", "ours"), name, parts),
        against_floor: _against_floor(times.spread("ours"), name, parts, device),
    }


def measure_compiled(conditions: Conditions) -> Results:
    """As `measure_adapter`, by itself: torch.compile unrolls the scan's thousands of steps, which takes it long."""
    device = conditions.gpu()
    calls = {"ours": adapter_call(_OURS, device), "compiled": adapter_call("blocked", device, compiled=True)}
    times = time_side_by_side(calls, device, conditions.seconds, conditions.rounds)
    parts = times.milliseconds()
    ratio = times.ratio("compiled", "ours")
    return {COMPILED[0].name: Measured(ratio, torch.cuda.get_device_name(device), parts)}


def _against_floor(ours: Spread, name: str, parts: dict[str, float], device: torch.device) -> Measured | NotMeasured:
    try:
        floor = gpu_floor(adapter_cost(SEARCH_SIZE, 1), device)
    except ValueError as error:
        return NotMeasured(str(error))
    ratio = Spread(ours.median / floor, ours.low / floor, ours.high / floor)
    return Measured(ratio, name, parts | {"floor (ms)": 1e3 * floor})


def measure_training(conditions: Conditions) -> Results:
    """The block over the tokens of both images at full resolution, as it is trained: launched kernel by kernel."""
    device = conditions.gpu()
    try:
        resolve_backend(_OURS, device)
    except ScanBackendError as error:
        raise NotMeasured(str(error)) from error
    block = PixelFusionAdapter(scan=_OURS).to(device).token_block
    tokens = torch.randn(1, 2 * SEARCH_SIZE**2, block.norm.normalized_shape[0], device=device, requires_grad=True)
    inputs, weight = [tokens, *block.parameters()], torch.rand_like(tokens)

    def call(forward: Callable[[torch.Tensor], torch.Tensor]) -> Callable[[], object]:
        return lambda: torch.autograd.grad(forward(tokens), inputs, weight)

    calls = {"ours": call(block), "PyTorch around our scan": call(block.definition)}
    times = time_side_by_side(calls, device, conditions.seconds, conditions.rounds)
    parts = times.milliseconds()
    ratio = times.ratio("PyTorch around our scan", "ours")
    return {TRAINING[0].name: Measured(ratio, torch.cuda.get_device_name(device), parts)}


def measure_frame(conditions: Conditions) -> Results:
    device = conditions.gpu()
    ours = open_here("base", device, conditions, runtime=_RUNTIME)
    sessions = {
        "ours": ours,
        "mean instead of the adapter": _open_without_adapter(device, conditions),
        "eager": open_plain("base", device),
    }
    calls = {name: frame_call(session) for name, session in sessions.items()}
    times = time_side_by_side(calls, device, conditions.seconds, conditions.rounds)
    parts = times.milliseconds()
    name = f"{torch.cuda.get_device_name(device)}, {label(ours)}"
    cost, rate, against_eager = (target.name for target in FRAME)
    return {
        cost: Measured(times.ratio("ours", "mean instead of the adapter"), name, parts),
        rate: Measured(Spread.of(1 / times.seconds["ours"]), name, parts),
        against_eager: Measured(times.ratio("eager", "ours"), name, parts),
    }


def _open_without_adapter(device: torch.device, conditions: Conditions) -> TPFSession:
    config = dataclasses.replace(load_variant("base"), fusion="addition")
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "addition.safetensors")
        save_network(TPFNetwork(config), file, {"source": "random, untrained"})
        return open_here(AUTO, device, conditions, runtime=_RUNTIME, weights=file)


def measure_memory(conditions: Conditions) -> Results:
    """What the GPU's used memory grows by while another process tracks: its context, libraries, weights and buffers."""
    device = conditions.gpu()
    properties = torch.cuda.get_device_properties(device)
    if properties.is_integrated:
        raise NotMeasured(f"{properties.name} has no memory of its own: what it and the CPU use is not told apart")
    with tempfile.TemporaryDirectory() as folder:
        before = torch.cuda.mem_get_info(device)[0]
        command = [sys.executable, "-m", "tpf_ros.bench.hold_base", str(device), _RUNTIME]
        child = ChildProcess("process with base", command, Path(folder, "log"), pipe=True)
        try:
            line = child.stdout.readline().strip()
            if line != "tracking":
                raise NotMeasured(line or "its process ended", failed=not line)
            used = before - torch.cuda.mem_get_info(device)[0]
        finally:
            child.stop()
    return {MEMORY[0].name: Measured(used / 1e9, properties.name)}
