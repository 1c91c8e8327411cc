"""ViM blocks by our own Triton kernels (`vim_triton_kernels.py`) on a CUDA GPU: inference, float32.

Several blocks of one size, each with its own weights and tokens, run in one launch.
"""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from tpf_model.packed import PackedWeights
from tpf_model.selective_scan import log_backend, resolve_backend
from tpf_model.selective_scan.triton import LAUNCH, TILE, Spans, exponent_rates

_STATES = 16  # fewer are padded with zeros: matrices of less are not multiplied
_COLUMNS = 16  # so is the out-projection's result


def runs_triton(block, tokens: Tensor) -> bool:
    """Whether the kernels can stand in for `block`'s forward pass on `tokens`, which needs no gradient then."""
    inner = len(block.D) // 2
    return (
        not torch.is_grad_enabled()
        and (tokens.device.type == "cuda" or block.scan == "triton")
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
    _, count, length, dim = tokens.shape
    return _launch(blocks, tokens, tokens.shape, (count * length, length, 0), swap)


def triton_joined_block(block, tokens: Tensor) -> Tensor:
    """A block on the channels of two sequences, without joining them first: (B, 2, L, C) -> (B, L, 2 C)."""
    batch, _, length, dim = tokens.shape
    return _launch([block], tokens, (batch, 1, length, 2 * dim), (2 * length, 0, length), False).squeeze(1)


def _launch(blocks, tokens: Tensor, shape: tuple[int, ...], strides: tuple[int, ...], swap: bool) -> Tensor:
    """shape: (B, G, L, C) of the result. strides: of batch, block and half of the channels, in rows of `tokens`."""
    from tpf_model.vim_triton_kernels import vim_local_kernel, vim_output_kernel

    log_backend("triton", tokens.device.type)
    batch, count, length, dim = shape
    tokens = tokens.contiguous()
    weights, rates = _weights(blocks)
    spans = Spans(2 * batch * count, length, *rates.shape[1:])
    inner = rates.shape[2]
    constants = {
        "T": TILE, "C": dim, "HALF": tokens.shape[-1], "E": inner, "N": _STATES, "WEIGHTS": weights.shape[1],
        "SPAN": spans.length, "num_warps": inner // 16, **LAUNCH,
    }  # fmt: skip
    result = tokens.new_empty(shape)
    with torch.cuda.device_of(tokens):
        carried = spans.carried(
            rates,
            lambda *parts: vim_local_kernel[spans.count, spans.rows](
                tokens, weights, rates, *parts, length, count, *strides, **constants
            ),
        )
        vim_output_kernel[spans.tiles, batch * count](
            tokens, weights, rates, *carried, result, length, count, *strides, **constants, SWAP=swap
        )
    return result


def _pack_all(blocks: Sequence) -> tuple[Tensor, Tensor]:
    """Packed weights (G, ...) and exponent rates (2 G, N, E)."""
    return torch.stack([_pack(block) for block in blocks]), torch.cat([_rates(block) for block in blocks])


_weights = PackedWeights(_pack_all)


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
    return torch.cat([part.detach().float().flatten() for part in parts])


def _rates(block) -> Tensor:
    """(2, N, E)"""
    rates = exponent_rates(-torch.exp(block.A_log.detach()))
    return functional.pad(rates, (0, _STATES - block.states)).unflatten(0, (2, -1)).transpose(1, 2).contiguous()
