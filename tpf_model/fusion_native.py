"""The fusion adapter by our own compiled kernel for CPUs (`_fusion.cpp`): inference, float32, PyTorch's threads.

The decoder's convolution is computed by Winograd's way with 2 x 2 outputs a tile: (sum of products) = OUTPUT of
(INPUT of tokens) * (WEIGHTS of kernel), each along rows and columns. The kernel holds INPUT and OUTPUT.
"""

import functools
import logging
import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from tpf_model.compiled import load_kernel
from tpf_model.packed import PackedWeights
from tpf_model.selective_scan import log_backend

_log = logging.getLogger(__name__)
_fusion, _reason = load_kernel("tpf_model._fusion", interface=1)

_LANES = 16  # the decoder's outputs are padded to a multiple of it
# Values at the points 0, 1, -1, 2, -1/2 and infinity of the polynomial whose coefficients are a row of the kernel, over
# what INPUT leaves to divide by.
_WEIGHTS = [
    [1, 0, 0, 0, 0],
    [1 / 6, 1 / 6, 1 / 6, 1 / 6, 1 / 6],
    [1 / 6, -1 / 6, 1 / 6, -1 / 6, 1 / 6],
    [1 / 30, 2 / 30, 4 / 30, 8 / 30, 16 / 30],
    [16 / 15, -8 / 15, 4 / 15, -2 / 15, 1 / 15],
    [0, 0, 0, 0, 1],
]


def runs_native(adapter, images: Tensor) -> bool:
    """Whether the kernel can stand in for `adapter`'s forward pass on float `images`, or ones of uint8."""
    return (
        adapter.scan in ("auto", "native")
        and not torch.is_grad_enabled()
        and not torch.is_autocast_enabled("cpu")
        and images.device.type == adapter.decoder.weight.device.type == "cpu"
        and images.dtype in (torch.float32, torch.uint8)
        and adapter.decoder.weight.dtype == torch.float32
        and _can_run()
    )


def native_fuse(adapter, visible: Tensor, thermal: Tensor) -> Tensor:
    """What `PixelFusionAdapter.forward` returns, where `runs_native`; of uint8 images what it does of them / 255.

    visible, thermal: (B, 3, H, W), any views, both of the same type.
    """
    log_backend("native", "cpu")
    batch, _, rows, columns = visible.shape
    weights = _packed([adapter])
    fused = torch.empty(visible.shape)
    for image in range(batch):
        _fusion.fuse(
            torch.get_num_threads(),
            adapter.token_stride,
            rows,
            columns,
            visible.dtype == torch.uint8,
            (visible[image].data_ptr(), *visible.stride()[1:]),
            (thermal[image].data_ptr(), *thermal.stride()[1:]),
            weights.data_ptr(),
            len(weights),
            fused[image].data_ptr(),
        )
    return fused


@functools.cache
def _can_run() -> bool:
    if _fusion is None:
        _log.warning("fusion: operation by operation, several times slower than a compiled kernel; %s", _reason)
    return _fusion is not None


@torch.no_grad()
def _pack(adapters: Sequence) -> Tensor:
    """The weights in the order of the kernel's struct; folded products are of float64."""
    (adapter,) = adapters
    stems = adapter.visible_stem, adapter.thermal_stem
    blocks = adapter.visible_block, adapter.thermal_block, adapter.token_block, adapter.channel_block
    parts = [part for stem in stems for part in (stem.weight, stem.bias)]
    parts += [part for block in blocks for part in _pack_block(block)]
    parts += _pack_decoder(adapter.decoder)
    return torch.cat([part.flatten().float() for part in parts])


def _pack_block(block) -> list[Tensor]:
    inner = len(block.D) // 2
    products = block.in_proj.weight.double()
    parts = [products * block.norm.weight, products @ block.norm.bias.double()]
    rates = -math.log2(math.e) * torch.exp(block.A_log.double()).view(2, inner, -1).transpose(1, 2)
    for direction, rows in enumerate((slice(0, inner), slice(inner, 2 * inner))):
        parts += [block.conv.weight[rows], block.conv.bias[rows], block.x_proj[direction], block.dt_proj[direction]]
        parts += [block.dt_bias[rows], rates[direction], block.D[rows]]
    return [*parts, block.out_proj.weight]


def _pack_decoder(decoder) -> list[Tensor]:
    """bias (O,) and products (6, 6, channels, O), O the outputs and zeros up to whole vectors."""
    transform = torch.tensor(_WEIGHTS, dtype=torch.float64)
    products = transform @ decoder.weight.double() @ transform.T  # (O, channels, 6, 6)
    missing = 0, -len(decoder.bias) % _LANES
    return [functional.pad(decoder.bias, missing), functional.pad(products.permute(2, 3, 1, 0), missing)]


_packed = PackedWeights(_pack)
