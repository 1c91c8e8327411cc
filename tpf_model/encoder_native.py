"""The encoder's blocks by our own compiled kernel for CPUs (`_encoder.cpp`): inference, float32, PyTorch's threads.

PyTorch multiplies each matrix near the processor's limit, but between them its threads wait for each other, and all
tokens are written and read again, some twelve times a block; its attention and its GELU take longer than they need to.
"""

import functools
import logging

import torch
from torch import Tensor, nn

from tpf_model.backbone import Block, VisionTransformer
from tpf_model.compiled import load_kernel

_log = logging.getLogger(__name__)
_encoder, _reason = load_kernel("tpf_model._encoder", interface=1)


class NativeBlocks(nn.Module):
    """The same function as `blocks`, one after another, with the weights that they have now."""

    def __init__(self, blocks: nn.ModuleList):
        super().__init__()
        self._count, self._heads = len(blocks), blocks[0].attn.heads
        self._weights = torch.cat([part.flatten() for block in blocks for part in _pack(block)])

    def forward(self, x: Tensor, keep: int = 0) -> Tensor:
        """(B, L, C) -> of the last `keep` tokens, or of all, (B, keep, C) float32."""
        x = x.to(torch.float32, copy=True, memory_format=torch.contiguous_format)
        _, length, width = x.shape
        threads, shape = torch.get_num_threads(), (length, keep or length, width, self._heads)
        for one in x:
            _encoder.encode(threads, self._count, *shape, one.data_ptr(), self._weights.data_ptr(), len(self._weights))
        return x[:, -keep:]


def has_native_blocks(encoder: VisionTransformer) -> bool:
    """Whether the kernel can stand in for the blocks of `encoder`, for inference on a CPU."""
    attention = encoder.blocks[0].attn
    return _can_run() and attention.proj.in_features % (attention.heads * _encoder.COLUMNS) == 0


def use_native_blocks(encoder: VisionTransformer) -> None:
    """Replace the blocks of `encoder`, in place."""
    encoder.blocks = nn.ModuleList([NativeBlocks(encoder.blocks)])


@functools.cache
def _can_run() -> bool:
    if _encoder is None:
        _log.warning("encoder: operation by operation, slower than a compiled kernel; %s", _reason)
    return _encoder is not None


@torch.no_grad()
def _pack(block: Block) -> list[Tensor]:
    """The weights in the kernel's order; what is folded is of float64."""
    attention, mlp = block.attn, block.mlp
    qkv, bias = _behind(block.norm1, attention.qkv)
    scale = torch.ones(len(bias), dtype=torch.float64)
    scale[: len(bias) // 3] = attention.scale
    layers = [
        (qkv * scale[:, None], bias * scale),
        (attention.proj.weight, attention.proj.bias),
        _behind(block.norm2, mlp.fc1),
        (mlp.fc2.weight, mlp.fc2.bias),
    ]
    return [part.float() for weight, bias in layers for part in (_panels(weight), bias)]


def _behind(norm: nn.LayerNorm, linear: nn.Linear) -> tuple[Tensor, Tensor]:
    """The linear layer's weights and biases with the norm's scale and shift in them."""
    weight = linear.weight.double()
    return weight * norm.weight, weight @ norm.bias.double() + linear.bias


def _panels(weight: Tensor) -> Tensor:
    """(outputs, inputs) -> (panels, inputs, columns)."""
    return weight.unflatten(0, (-1, _encoder.COLUMNS)).transpose(1, 2)
