"""The ViM block by our own compiled kernel for CPUs (`_vim.cpp`): inference, float32, PyTorch's number of threads."""

import functools
import logging
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from tpf_model.compiled import load_kernel
from tpf_model.packed import PackedWeights
from tpf_model.selective_scan import log_backend

_log = logging.getLogger(__name__)
_vim, _reason = load_kernel("tpf_model._vim", interface=1)

_ROW = 16  # the kernel's rows are padded to it
_STATES = 16
_MAX_INNER = 64


def runs_native(block, tokens: Tensor) -> bool:
    """Whether the kernel can stand in for `block`'s forward pass on `tokens`, which needs no gradient then."""
    return (
        block.scan in ("auto", "native")
        and not torch.is_grad_enabled()
        and not torch.is_autocast_enabled("cpu")
        and tokens.device.type == "cpu"
        and tokens.dtype == block.D.dtype == torch.float32
        and tokens.shape[-1] <= _ROW
        and block.states <= _STATES
        and len(block.D) // 2 % _ROW == 0
        and len(block.D) // 2 <= _MAX_INNER
        and _can_run()
    )


@functools.cache
def _can_run() -> bool:
    if _vim is None:
        _log.warning("ViM block: one operation after the other, slower than its compiled kernel; %s", _reason)
    return _vim is not None


def native_block(block, tokens: Tensor) -> Tensor:
    """What `ViMBlock.forward` returns. tokens: (B, L, C), where `runs_native`."""
    log_backend("native", "cpu")
    batch, length, dim = tokens.shape
    tokens = tokens.contiguous()
    result = torch.empty_like(tokens)
    addresses = tuple(array.data_ptr() for array in (*_weights([block]), tokens, result))
    _vim.block(torch.get_num_threads(), batch, length, dim, len(block.D) // 2, block.states, addresses)
    return result


@torch.no_grad()
def _pack(blocks: Sequence) -> list[Tensor]:
    """A block's weights as the kernel reads them; the folded product is of float64."""
    (block,) = blocks
    inner = len(block.D) // 2
    to_delta, to_B, to_C = block.x_proj.split([block.rank, block.states, block.states], dim=1)
    delta = (block.dt_proj.double() @ to_delta.double()).float()
    rates = -torch.exp(block.A_log).view(2, inner, block.states).transpose(1, 2)
    weights = (
        torch.stack([_pad(block.norm.weight), _pad(block.norm.bias)]),
        block.in_proj.weight.T,
        _pad(block.out_proj.weight.T),
        block.conv.weight.view(2, inner, -1).transpose(1, 2),
        block.conv.bias,
        torch.cat([part.transpose(1, 2) for part in (delta, _pad_rows(to_B), _pad_rows(to_C))], dim=2),
        block.dt_bias,
        _pad_rows(rates),
        block.D,
    )
    return [weight.contiguous() for weight in weights]


_weights = PackedWeights(_pack)


def _pad(x: Tensor) -> Tensor:
    """Zeros after the last dimension, up to a row."""
    return functional.pad(x, (0, _ROW - x.shape[-1]))


def _pad_rows(x: Tensor) -> Tensor:
    """(..., R, C) -> (..., ROW, C), with zeros."""
    return functional.pad(x, (0, 0, 0, _ROW - x.shape[-2]))
