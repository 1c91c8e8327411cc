"""ViM blocks by our own Triton kernels on a CUDA GPU, float32: forward (`vim_triton_kernels.py`) and, for training,
backward (`vim_triton_backward.py`).

Several blocks of one size, each with its own weights and tokens, run in one launch.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional

from tpf_model.packed import PackedWeights
from tpf_model.selective_scan import log_backend, resolve_backend
from tpf_model.selective_scan.triton import LAUNCH, TILE, Carried, Spans, exponent_rates

_STATES = 16  # fewer are padded with zeros: matrices of less are not multiplied
_COLUMNS = 16  # so is the out-projection's result
_SHARES = 512  # about so many programs at most write gradients to all of a block's weights, each its own


def runs_triton(block, tokens: Tensor) -> bool:
    """Whether the kernels can stand in for `block`'s forward and backward pass on `tokens`."""
    inner = len(block.D) // 2
    return (
        (tokens.device.type == "cuda" or block.scan == "triton")
        and not torch.is_autocast_enabled(tokens.device.type)
        and tokens.dtype == block.D.dtype == torch.float32
        and tokens.shape[-1] in (4, 8, 16)
        and inner in (16, 32, 64)
        and block.states <= _STATES
        and block.scan in ("auto", "triton")
        and resolve_backend(block.scan, tokens.device) == "triton"
    )


def triton_block(block, tokens: Tensor) -> Tensor:
    """What `ViMBlock.forward` returns. tokens: (B, L, C), where `runs_triton`."""
    return triton_blocks([block], tokens.unsqueeze(1)).squeeze(1)


def triton_blocks(blocks: Sequence, tokens: Tensor, swap: bool = False) -> Tensor:
    """Each of G equally sized blocks on its own tokens, (B, G, L, C) -> the same, contiguous.

    swap: of the results of two blocks every second channel is exchanged, as `fusion.swap_channels` does.
    """
    _, count, length, _ = tokens.shape
    return _run(blocks, tokens, _Layout(tokens.shape, (count * length, length, 0), swap))


def triton_joined_block(block, tokens: Tensor) -> Tensor:
    """A block on the channels of two sequences, without joining them first: (B, 2, L, C) -> (B, L, 2 C)."""
    batch, _, length, dim = tokens.shape
    return _run([block], tokens, _Layout((batch, 1, length, 2 * dim), (2 * length, 0, length), False)).squeeze(1)


class _Layout(NamedTuple):
    """shape: (B, G, L, C) of the result. strides: of batch, block and half of the channels, in rows of the tokens.
    swap: see `triton_blocks`.
    """

    shape: tuple[int, ...]
    strides: tuple[int, ...]
    swap: bool


def _run(blocks: Sequence, tokens: Tensor, layout: _Layout) -> Tensor:
    log_backend("triton", tokens.device.type)
    if torch.is_grad_enabled():
        return _ViMBlocks.apply(tokens, *_pack_all(blocks), layout)
    return _Launch(tokens, *_weights(blocks), layout).forward()[0]


class _ViMBlocks(torch.autograd.Function):
    """tokens, packed weights, rates -> result. Keeps these, and what the state at each tile's start is made of."""

    @staticmethod
    def forward(ctx, tokens, weights, rates, layout):
        launch = _Launch(tokens, weights, rates, layout)
        result, carried = launch.forward()
        ctx.layout = layout
        ctx.save_for_backward(launch.tokens, weights, rates, *carried)
        return result

    @staticmethod
    @once_differentiable
    def backward(ctx, gradient):
        tokens, weights, rates, *carried = ctx.saved_tensors
        launch = _Launch(tokens, weights, rates, ctx.layout)
        return *launch.backward(gradient.contiguous(), Carried(*carried)), None


class _Launch:
    """The kernels' arguments, and the launches. weights (G, ...) and rates (2 G, N, E): see `_pack_all`."""

    def __init__(self, tokens: Tensor, weights: Tensor, rates: Tensor, layout: _Layout):
        self.tokens, self.weights, self.rates, self.layout = tokens.contiguous(), weights, rates, layout
        batch, count, length, dim = layout.shape
        self.programs, self.inner = batch * count, rates.shape[2]
        self.spans = Spans(2 * self.programs, length, *rates.shape[1:])
        self.sizes = length, count, *layout.strides
        self.constants = {
            "T": TILE, "C": dim, "HALF": tokens.shape[-1], "E": self.inner, "N": _STATES, "WEIGHTS": weights.shape[1],
            **LAUNCH,
        }  # fmt: skip

    def forward(self) -> tuple[Tensor, Carried]:
        from tpf_model.vim_triton_kernels import vim_local_kernel, vim_output_kernel

        operands = self.tokens, self.weights, self.rates
        constants = self.constants | {"SPAN": self.spans.length, "num_warps": self.inner // 16}
        result = self.tokens.new_empty(self.layout.shape)
        with torch.cuda.device_of(self.tokens):
            carried = self.spans.carried(
                self.rates,
                lambda *parts: vim_local_kernel[self.spans.count, self.spans.rows](
                    *operands, *parts, *self.sizes, **constants
                ),
            )
            vim_output_kernel[self.spans.tiles, self.programs](
                *operands, *carried, result, *self.sizes, **constants, SWAP=self.layout.swap
            )
        return result, carried

    def backward(self, gradient: Tensor, carried: Carried) -> tuple[Tensor, Tensor, Tensor]:
        """Gradients to tokens, weights and rates. gradient: to the result. carried: of the forward pass."""
        from tpf_model.vim_triton_backward import (
            vim_local_gradient_kernel,
            vim_projection_gradient_kernel,
            vim_scan_gradient_kernel,
            vim_token_gradient_kernel,
        )

        operands = self.tokens, self.weights, self.rates, gradient
        constants = self.constants | {"SWAP": self.layout.swap}
        in_spans = constants | {"SPAN": self.spans.length}
        share = -(-self.spans.tiles * self.programs // _SHARES)  # tiles
        shares = -(-self.spans.tiles // share)
        length, states = self.layout.shape[2], self.rates.shape[1]
        y, to_u, to_step, to_conv = (gradient.new_empty(self.spans.rows, length, self.inner) for _ in range(4))
        to_B, to_C = (gradient.new_empty(self.spans.rows, length, states) for _ in range(2))
        to_tokens = torch.empty_like(self.tokens)
        to_weights = gradient.new_zeros(self.programs, shares, self.weights.shape[1])  # the gate has no later taps
        to_rates = gradient.new_empty(self.programs, shares, 2, states, self.inner)
        sizes = *self.sizes, share
        with torch.cuda.device_of(gradient):
            carried_back = self.spans.carried(
                self.rates,
                lambda *parts: vim_local_gradient_kernel[self.spans.count, self.spans.rows](
                    *operands, *parts, *self.sizes, **in_spans, num_warps=self.inner // 16
                ),
            )
            vim_scan_gradient_kernel[shares, self.spans.rows](
                *operands, *carried, *carried_back, y, to_u, to_step, to_B, to_C, to_weights, to_rates, *sizes,
                **in_spans, num_warps=self.inner // 4,
            )  # fmt: skip
            vim_projection_gradient_kernel[shares, self.spans.rows](
                self.tokens, self.weights, to_u, to_step, to_B, to_C, to_conv, to_weights, *sizes, **self.constants,
                num_warps=self.inner // 4,
            )  # fmt: skip
            vim_token_gradient_kernel[shares, self.programs](
                self.tokens, self.weights, gradient, y, to_conv, to_tokens, to_weights, *sizes, **constants, num_warps=4
            )
        to_weights, to_rates = (x.unflatten(0, (-1, len(self.weights))).sum((0, 2)) for x in (to_weights, to_rates))
        return to_tokens, to_weights, to_rates.flatten(0, 1)


def _pack_all(blocks: Sequence) -> tuple[Tensor, Tensor]:
    """Packed weights (G, ...) and exponent rates (2 G, N, E)."""
    return torch.stack([_pack(block) for block in blocks]), torch.cat([_rates(block) for block in blocks])


_weights = PackedWeights(_pack_all)  # without gradients


def _pack(block) -> Tensor:
    """A block's weights as the kernels read them; folded products are of float64."""
    inner, dim = block.out_proj.weight.T.shape
    states, rank = block.states, block.rank
    into_x, into_gate = block.in_proj.weight.double().T.chunk(2, dim=1)  # (C, E) each
    later_taps = into_gate.new_zeros(block.conv.kernel_size[0] * dim - dim, inner)
    parts = [block.norm.weight, block.norm.bias, torch.cat([into_gate, later_taps])]
    parts.append(functional.pad(block.out_proj.weight.T, (0, _COLUMNS - dim)))
    for direction in range(2):
        rows = slice(direction * inner, (direction + 1) * inner)
        taps = block.conv.weight[rows, 0].double().flip(1).T  # (4, E), the token's own first
        to_delta, to_B, to_C = block.x_proj[direction].split([rank, states, states])
        missing = (0, _STATES - states)
        parts += [
            taps[:, None, :] * into_x[None],
            block.conv.bias[rows],
            (block.dt_proj[direction].double() @ to_delta.double()).T,
            block.dt_bias[rows],
            functional.pad(to_B.T, missing),
            functional.pad(to_C.T, missing),
            block.D[rows],
        ]
    return torch.cat([part.float().flatten() for part in parts])


def _rates(block) -> Tensor:
    """(2, N, E)"""
    rates = exponent_rates(-torch.exp(block.A_log))
    return functional.pad(rates, (0, _STATES - block.states)).unflatten(0, (2, -1)).transpose(1, 2).contiguous()
