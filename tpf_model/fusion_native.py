"""The fusion adapter by our own compiled kernel for CPUs (`_fusion.cpp`): inference, float32, PyTorch's threads.

The decoder's convolution is computed by Winograd's way with 2 x 2 outputs a tile: (sum of products) = OUTPUT of
(INPUT of tokens) * (WEIGHTS of kernel), each along rows and columns. The kernel holds INPUT and OUTPUT.
"""

import functools
import logging
import math
from collections.abc import Sequence

import numpy as np
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


def runs_native(adapter, visible: Tensor, thermal: Tensor) -> bool:
    """Whether the kernel, which checks nothing, can stand in for `adapter`'s forward pass on these images."""
    return (
        not torch.is_grad_enabled()
        and not torch.is_autocast_enabled("cpu")
        and all(image.device.type == "cpu" and image.dtype == torch.float32 for image in (visible, thermal))
        and visible.ndim == 4
        and visible.shape[1] == 3
        and visible.shape == thermal.shape
        and has_native(adapter)
    )


def has_native(adapter) -> bool:
    """Whether the kernel can stand in for `adapter` where it is, for inference."""
    weight = adapter.decoder.weight
    on_cpu = weight.device.type == "cpu" and weight.dtype == torch.float32
    return adapter.scan in ("auto", "native") and on_cpu and _can_run()


def native_fuse(adapter, visible: Tensor, thermal: Tensor) -> Tensor:
    """What `PixelFusionAdapter.forward` returns, where `runs_native`; (B, 3, H, W) each, any views."""
    log_backend("native", "cpu")
    fused, weights = torch.empty(visible.shape), _packed([adapter])
    for one, other, result in zip(visible, thermal, fused):
        images = ((image.data_ptr(), *image.stride()) for image in (one, other))
        _run(adapter.token_stride, weights, *images, False, result)
    return fused


class NativeFusion:
    """An adapter that `has_native`, with the weights that it has now, for images as they lie in memory."""

    def __init__(self, adapter):
        log_backend("native", "cpu")
        self._token_stride, self._weights = adapter.token_stride, _pack([adapter])

    def __call__(self, visible: np.ndarray, thermal: np.ndarray) -> Tensor:
        """visible (H, W, 3) and thermal (H, W), uint8, of any strides -> fused (3, H, W) float32; else ValueError."""
        if visible.shape != (*thermal.shape, 3) or visible.dtype != np.uint8 or thermal.dtype != np.uint8:
            given = f"{visible.shape} {visible.dtype} and {thermal.shape} {thermal.dtype}"
            raise ValueError(f"visible and thermal are {given}, must be (H, W, 3) uint8 and (H, W) uint8")
        fused = torch.empty(3, *thermal.shape)
        row, pixel, plane = visible.strides
        images = (_address(visible), plane, row, pixel), (_address(thermal), 0, *thermal.strides)
        _run(self._token_stride, self._weights, *images, True, fused)
        return fused


def _address(image: np.ndarray) -> int:
    return image.__array_interface__["data"][0]


def _run(token_stride: int, weights: Tensor, visible: tuple, thermal: tuple, in_bytes: bool, fused: Tensor) -> None:
    """visible, thermal: (address, strides of planes, rows and pixels in values); fused: (3, H, W), which is written."""
    threads, (_, rows, columns) = torch.get_num_threads(), fused.shape
    arrays = visible, thermal, weights.data_ptr(), len(weights), fused.data_ptr()
    _fusion.fuse(threads, token_stride, rows, columns, in_bytes, *arrays)


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
