"""What the network costs by count: operations of each stage, and the least time that a GPU needs for the adapter."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from tpf_model.config import ModelConfig
from tpf_model.fusion import PixelFusionAdapter
from tpf_model.network import TPFNetwork
from tpf_model.vim import ViMBlock

# Exponentials a multiprocessor computes in a clock cycle ("Throughput of Native Arithmetic Instructions" in NVIDIA's
# CUDA C++ Programming Guide: 16 for every architecture from 5.x to 10.0).
_EXPONENTIALS_A_CLOCK = 16


@dataclass(frozen=True)
class AdapterCost:
    """The fusion adapter on one crop, counted from its definition.

    decays: the scans' exponentials exp(delta A), without those of SiLU and softplus. bytes: the least that has to be
    moved: float32 images in and out once, and each block's float32 tokens read once and written once, because a block
    needs the end of the sequence before its beginning (backward scan).
    """

    decays: int
    bytes: int


def adapter_cost(size: int, token_stride: int) -> AdapterCost:
    """Of one crop of `size` x `size` pixels."""
    tokens = (size // token_stride) ** 2
    blocks = _adapter_blocks(tokens)
    moved = 3 * 3 * size**2 + sum(2 * length * dim for length, dim in blocks)
    return AdapterCost(sum(length * _decays(dim) for length, dim in blocks), 4 * moved)


def gpu_floor(cost: AdapterCost, device: torch.device) -> float:
    """Seconds that `device` needs at least: for the exponentials, or for the bytes, whichever takes longer at its peak.

    ValueError where PyTorch does not know the device's clocks.
    """
    properties = torch.cuda.get_device_properties(device)
    # Hz; PyTorch before 2.7 has neither, and some drivers tell 0.
    clocks = [1e3 * getattr(properties, name, 0) for name in ("clock_rate", "memory_clock_rate")]
    if not all(clocks):
        raise ValueError(f"PyTorch does not know the clocks of {properties.name}")
    exponentials = properties.multi_processor_count * _EXPONENTIALS_A_CLOCK * clocks[0]
    bandwidth = 2 * clocks[1] * properties.memory_bus_width / 8  # two transfers a clock
    return max(cost.decays / exponentials, cost.bytes / bandwidth)


def count_flops(config: ModelConfig) -> dict[str, int]:
    """Floating point operations of one tracked frame by stage: "fuse" (the search crop), "encode" and "head".

    The templates' tokens are computed once, and not counted.
    A multiplication and an addition are two. Matrix products, convolutions and attention are counted by PyTorch's
    FlopCounterMode, the selective scans by `scan_flops`; norms, activations and other element-wise work are not.
    """
    with torch.device("meta"):
        network = TPFNetwork(config).eval()
        search = torch.empty(1, 3, config.search_size, config.search_size)
        tokens = torch.empty(1, config.template_tokens, config.width)
        features = torch.empty(1, config.search_tokens, config.width)
    return {
        "fuse": _count_fuse(config) if config.fusion == "pfa" else 0,
        "encode": _counted(lambda: network.encode_search(tokens, tokens, search)),
        "head": _counted(lambda: network.predict(features)),
    }


def _count_fuse(config: ModelConfig) -> int:
    crop = torch.zeros(1, 3, config.search_size, config.search_size)
    adapter = PixelFusionAdapter(config.token_stride, scan="blocked").eval()
    tokens = (config.search_size // config.token_stride) ** 2
    scans = sum(scan_flops(length, *_scan_shape(dim)) for length, dim in _adapter_blocks(tokens))
    return _counted(lambda: adapter(crop, crop)) + scans


@torch.no_grad()
def _counted(function: Callable[[], object]) -> int:
    # Attention's plain form consists of matrix products, which are counted; its fused forms are not all known.
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        function()
    return counter.get_total_flops()


def scan_flops(tokens: int, channels: int, states: int) -> int:
    """Of a selective scan as `selective_scan` defines it, an exponential being one operation.

    For each token, channel and state: delta A, its exponential, its product with h, the product of delta u with B and
    its sum with that, the product with C and its sum; for each token and channel: delta u, D u and its sum.
    """
    return tokens * channels * (7 * states + 3)


def _adapter_blocks(tokens: int) -> list[tuple[int, int]]:
    """(length, dim) of the adapter's ViM blocks: visible, thermal, both in a row, both side by side."""
    return [(tokens, 8), (tokens, 8), (2 * tokens, 8), (tokens, 16)]


def _scan_shape(dim: int) -> tuple[int, int]:
    """Channels (of both directions) and states of a ViM block's scan."""
    return tuple(ViMBlock(dim).A_log.shape)


def _decays(dim: int) -> int:
    """Exponentials of decays that a ViM block computes for each token."""
    channels, states = _scan_shape(dim)
    return channels * states
