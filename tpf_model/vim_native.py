"""The ViM block by our own compiled kernel for CPUs (`_vim.cpp`): inference, float32, one thread."""

import torch
from torch import Tensor
from torch.nn import functional

from tpf_model.selective_scan import log_backend

try:
    from tpf_model import _vim
except ImportError:  # not compiled: the scan, which is compiled with it, says so
    _vim = None

_ROW = 16  # the kernel's rows are padded to it
_MAX_INNER = 64


def runs_native(block, tokens: Tensor) -> bool:
    """Whether the kernel can stand in for `block`'s forward pass on `tokens`, which needs no gradient then."""
    return (
        _vim is not None
        and block.scan in ("auto", "native")
        and not torch.is_grad_enabled()
        and not torch.is_autocast_enabled("cpu")
        and tokens.device.type == "cpu"
        and tokens.dtype == block.D.dtype == torch.float32
        and tokens.shape[-1] <= _ROW
        and block.states <= _ROW
        and block.rank <= _ROW
        and len(block.D) // 2 % _ROW == 0
        and len(block.D) // 2 <= _MAX_INNER
    )


def native_block(block, tokens: Tensor) -> Tensor:
    """What `ViMBlock.forward` returns. tokens: (B, L, C), where `runs_native`."""
    log_backend("native", "cpu")
    batch, length, dim = tokens.shape
    inner, rank, states = len(block.D) // 2, block.rank, block.states
    tokens = tokens.contiguous()
    project = block.x_proj.split([rank, states, states], dim=1)
    weights = (
        torch.stack([_pad(block.norm.weight), _pad(block.norm.bias)]),
        block.in_proj.weight.T,
        _pad(block.out_proj.weight.T),
        block.conv.weight.view(2, inner, -1).transpose(1, 2),
        block.conv.bias,
        torch.stack([_pad(part.transpose(1, 2)) for part in project], dim=2),
        block.dt_proj.transpose(1, 2),
        block.dt_bias,
        -torch.exp(block.A_log).view(2, inner, states).transpose(1, 2),
        block.D,
    )
    result = torch.empty_like(tokens)
    arrays = [*(weight.contiguous() for weight in weights), tokens, result]
    _vim.block(batch, length, dim, inner, states, rank, tuple(array.data_ptr() for array in arrays))
    return result


def _pad(x: Tensor) -> Tensor:
    """Zeros after the last dimension, up to a row."""
    return functional.pad(x, (0, _ROW - x.shape[-1]))
