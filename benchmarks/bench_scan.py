"""Time of the selective scan's backends on one operand, and of the fusion adapter on one search crop: CPU, then GPU.

python benchmarks/bench_scan.py [--threads 1] [--tokens 4096]

On a GPU each function is captured in a CUDA graph and replayed, as a session runs it, and the adapter's floor is
computed from the device: the least time in which it makes that many exponentials, or moves that many bytes.
"""

import argparse
import time
from collections.abc import Callable

import torch
from torch import Tensor

from tpf_model.fusion import PixelFusionAdapter
from tpf_model.selective_scan import ScanBackendError, resolve_backend, selective_scan

EXPONENTIALS_PER_CLOCK = 16  # of a multiprocessor: four special function units in each of its four parts
SIDE = 256  # pixels of a search crop


def operands(tokens: int, device: str) -> tuple[Tensor, ...]:
    """u, delta, A, B, C, D of an 8-channel block: both directions of 16 channels, 16 states."""
    u, delta = torch.rand(1, 32, tokens, device=device), 0.1 * torch.rand(1, 32, tokens, device=device)
    A, D = -torch.arange(1.0, 17.0, device=device).repeat(32, 1), torch.ones(32, device=device)
    return u, delta, A, *torch.rand(2, 1, 2, 16, tokens, device=device), D


def cpu_ms(function: Callable, runs: int) -> float:
    """Median."""
    function()  # warm up
    times = []
    for _ in range(runs):
        start = time.perf_counter()
        function()
        times.append(time.perf_counter() - start)
    return 1000 * sorted(times)[runs // 2]


def gpu_ms(function: Callable, runs: int) -> float:
    """Median of replays of a CUDA graph of `function`."""
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(3):  # compiles, packs weights, lets cuDNN choose
            function()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        function()
    times = []
    for _ in range(runs):
        start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        start.record()
        graph.replay()
        end.record()
        end.synchronize()
        times.append(start.elapsed_time(end))
    return sorted(times)[runs // 2]


def scan_ms(name: str, tokens: int, device: str, runs: int) -> float | None:
    """Of one backend; None where it cannot run."""
    if not can_run(name, device):
        return None
    inputs = operands(tokens, device)
    timer = gpu_ms if device == "cuda" else cpu_ms
    return timer(lambda: selective_scan(*inputs, name), runs)


def adapter_ms(name: str, stride: int, device: str, runs: int) -> float | None:
    """Of the fusion adapter on a search crop; None where the backend cannot run."""
    if not can_run(name, device):
        return None
    adapter, images = PixelFusionAdapter(stride, name).eval().to(device), torch.rand(2, 1, 3, SIDE, SIDE, device=device)
    timer = gpu_ms if device == "cuda" else cpu_ms
    return timer(lambda: adapter(*images), runs)


def can_run(name: str, device: str) -> bool:
    if device == "cuda" and not torch.cuda.is_available():
        return False
    try:
        return resolve_backend(name, device) == name
    except ScanBackendError:
        return False


def adapter_work(stride: int) -> tuple[int, int]:
    """Exponentials of the adapter's scans, each computed once, and bytes of its blocks' tokens, each read and written
    once, on a search crop.
    """
    adapter, tokens = PixelFusionAdapter(stride), (SIDE // stride) ** 2
    single = (adapter.visible_block, adapter.thermal_block, adapter.channel_block)
    blocks = [*((block, 1) for block in single), (adapter.token_block, 2)]
    exponentials = sum(tokens * times * block.A_log.numel() for block, times in blocks)
    moved = sum(2 * 4 * tokens * times * len(block.norm.weight) for block, times in blocks)
    return exponentials, moved


def adapter_floor_ms(stride: int) -> float | None:
    """The least time that the GPU needs for `adapter_work`; None without a GPU."""
    if not torch.cuda.is_available():
        return None
    device = torch.cuda.get_device_properties(0)
    exponentials, moved = adapter_work(stride)
    per_ms = device.multi_processor_count * EXPONENTIALS_PER_CLOCK * device.clock_rate  # kHz
    bytes_per_ms = 2 * device.memory_clock_rate * device.memory_bus_width / 8
    return max(exponentials / per_ms, moved / bytes_per_ms)


def shown(milliseconds: float | None) -> str:
    return "not measured" if milliseconds is None else f"{milliseconds:.3f} ms"


def shown_ratio(slow: float | None, fast: float | None) -> str:
    return "not measured" if slow is None or fast is None else f"{slow / fast:.1f}"


def print_cpu(tokens: int) -> None:
    times = {}
    for name, runs in (("reference", 3), ("blocked", 15), ("native", 15)):
        times[name] = scan_ms(name, tokens, "cpu", runs)
        print(f"cpu: scan of {tokens} tokens, 32 channels, 16 states, {name}: {shown(times[name])}")
    for slow, fast in (("reference", "blocked"), ("blocked", "native")):
        print(f"cpu: {slow} / {fast}: {shown_ratio(times[slow], times[fast])}")
    for stride in (4, 2):
        for name in ("blocked", "native"):
            milliseconds = adapter_ms(name, stride, "cpu", 7)
            print(f"cpu: adapter on {SIDE}x{SIDE}, stride {stride}, {name}: {shown(milliseconds)}")


def print_gpu() -> None:
    names = ("blocked", "mamba", "triton")
    for name in names:
        milliseconds = scan_ms(name, SIDE**2, "cuda", 50)
        print(f"gpu: scan of {SIDE**2} tokens, 32 channels, 16 states, {name}: {shown(milliseconds)}")
    for stride in (1, 4):
        times = {name: adapter_ms(name, stride, "cuda", 50) for name in names}
        what, floor = f"gpu: adapter on {SIDE}x{SIDE}, stride {stride}", adapter_floor_ms(stride)
        for name, milliseconds in times.items():
            print(f"{what}, {name}: {shown(milliseconds)}")
        exponentials, moved = adapter_work(stride)
        print(f"{what}, floor of {exponentials / 1e6:.0f} M exponentials, {moved / 1e6:.0f} MB: {shown(floor)}")
        for slow in ("mamba", "blocked"):
            print(f"{what}, {slow} / triton: {shown_ratio(times[slow], times['triton'])}")
        print(f"{what}, triton / floor: {shown_ratio(times['triton'], floor)}")


@torch.inference_mode()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--tokens", type=int, default=4096, help="of the scan on the CPU")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    print_cpu(arguments.tokens)
    print_gpu()


if __name__ == "__main__":
    main()
