"""The selective scan by our own compiled kernel for CPUs (`_native.cpp`): forward and backward, float32.

The channels of a group are the lanes of vectors and all their states stay in the nearest cache, so nothing of the size
tokens * channels * states is ever written, but the states at every 32nd token for the backward pass. Threads
share out batch entries and groups, as many at once as PyTorch uses.
"""

from concurrent.futures import ThreadPoolExecutor

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from tpf_model.compiled import load_kernel

_native, _reason = load_kernel("tpf_model.selective_scan._native", interface=1)


def unavailable_reason(device: torch.device) -> str | None:
    """Why the kernel cannot run on `device`, or None if it can."""
    if device.type != "cpu":
        return f"it runs on a CPU only, not on {device.type!r}"
    return None if _native else _reason


def native_scan(u: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor, D: Tensor) -> Tensor:
    """See `selective_scan`. Returns float32."""
    u, delta, A, B, C, D = (x.float() for x in (u, delta, A, B, C, D))
    return torch.addcmul(_NativeScan.apply(u, delta, A, B, C), D[:, None], u)


class _NativeScan(torch.autograd.Function):
    """Keeps its inputs and the states that the kernel's chunks start from."""

    @staticmethod
    def forward(ctx, u, delta, A, B, C):
        batch, channels, tokens = u.shape
        groups, states = B.shape[1:3]
        u, delta, B, C = _token_major(u, groups), _token_major(delta, groups), _rows(B), _rows(C)
        A = A.contiguous()
        width = channels // groups
        chunks, padded = -(-tokens // _native.CHUNK), -(-width // _native.WIDEST) * _native.WIDEST
        y = torch.empty_like(u)
        entries = u.new_empty(batch, groups, chunks, states, padded)
        ctx.sizes = groups, tokens, width, states
        ctx.save_for_backward(u, delta, A, B, C, entries)
        _run(_native.forward, batch * groups, ctx.sizes, u, delta, A, B, C, entries, y)
        return _channel_major(y)

    @staticmethod
    @once_differentiable
    def backward(ctx, dy):
        u, delta, A, B, C, entries = ctx.saved_tensors
        groups, _, width, states = ctx.sizes
        dy = _token_major(dy, groups)
        du, ddelta, dB, dC = torch.empty_like(u), torch.empty_like(u), torch.zeros_like(B), torch.zeros_like(C)
        dA = u.new_zeros(len(u), groups, width, states)
        _run(
            _native.backward, len(u) * groups, ctx.sizes, u, delta, A, B, C, entries, dy, du, ddelta, dB, dC, dA
        )
        return _channel_major(du), _channel_major(ddelta), dA.sum(0).flatten(0, 1), _columns(dB), _columns(dC)


def _run(kernel, count: int, sizes: tuple[int, ...], *arrays: Tensor) -> None:
    """Run `kernel` over `count` groups of all batch entries, in parallel. `arrays`: contiguous."""
    addresses = tuple(array.data_ptr() for array in arrays)
    workers = min(count, torch.get_num_threads())
    ends = [count * i // workers for i in range(workers + 1)]
    if workers == 1:
        kernel(0, count, *sizes, addresses)
        return
    with ThreadPoolExecutor(workers) as pool:
        list(pool.map(lambda i: kernel(ends[i], ends[i + 1], *sizes, addresses), range(workers)))


def _token_major(x: Tensor, groups: int) -> Tensor:
    """(batch, groups * width, L) -> (batch, groups, L, width)"""
    return _rows(x.unflatten(1, (groups, -1)))


def _channel_major(x: Tensor) -> Tensor:
    """(batch, groups, L, width) -> (batch, groups * width, L)"""
    return _columns(x).flatten(1, 2)


def _rows(x: Tensor) -> Tensor:
    """(..., R, L) -> (..., L, R)"""
    return x.transpose(-1, -2).contiguous()


_columns = _rows  # and back
