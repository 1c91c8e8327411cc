"""The selective scan written as its definition: one token after the other, in float64. Slow; tests compare with it."""

import torch
from torch import Tensor


def reference_scan(u: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor, D: Tensor) -> Tensor:
    """See `selective_scan`. Returns float64; differentiable by plain autograd."""
    u, delta, A, B, C, D = (x.double() for x in (u, delta, A, B, C, D))
    channels_per_group = u.shape[1] // B.shape[1]
    B, C = (x.repeat_interleave(channels_per_group, dim=1) for x in (B, C))  # (batch, D, N, L)
    state = u.new_zeros(*u.shape[:2], A.shape[1])
    outputs = []
    for t in range(u.shape[-1]):
        step = delta[:, :, t, None]
        state = torch.exp(step * A) * state + step * u[:, :, t, None] * B[..., t]
        outputs.append((state * C[..., t]).sum(-1))
    return torch.stack(outputs, dim=-1) + D[:, None] * u
