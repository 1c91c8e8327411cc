"""The selective scan in plain PyTorch, parallel over chunks of the sequence; runs and trains on CPU and CUDA.

The sequence is cut into K chunks of T tokens. The first pass runs through all chunks side by side from a zero state, so
the Python loop has T steps, not L. A carry pass over the K chunk ends gives each chunk's true entry state, and the
second pass runs through the chunks again from there and reads the output. The backward pass has the same form.

Numerics: a chunk's decay is exp(A * sum(delta)) and the carry is float64. A product of many float32 decays loses the
difference between exp(-1e-6) and 1, and a division by exp(-cumulative sum) overflows.

Inside, states are (N, G, D / G, M) with M = K * batch: every operand is contiguous over M, and only outer dimensions
are broadcast, which is several times faster on a CPU than any other order.
"""

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional


def blocked_scan(u: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor, D: Tensor) -> Tensor:
    """See `selective_scan`."""
    dtype = torch.promote_types(u.dtype, torch.float32)
    u, delta, A, B, C, D = (x.to(dtype) for x in (u, delta, A, B, C, D))
    return torch.addcmul(_BlockedScan.apply(u, delta, A, B, C), D[:, None], u)


class _BlockedScan(torch.autograd.Function):
    """Keeps its inputs and the chunks' entry states; the backward pass computes all other states anew."""

    @staticmethod
    def forward(ctx, u, delta, A, B, C):
        cut = _Cut(u, B)
        rates, dt, x, B_, C_ = cut.operands(u, delta, A, B, C)
        decays = _decays(dt, rates)
        state = torch.zeros_like(decays[0])
        for decay, x_t, B_t in zip(decays, x, B_):
            state.mul_(decay).addcmul_(x_t, B_t)
        state = cut.carry(rates, dt, state)
        ctx.save_for_backward(u, delta, A, B, C, state.clone())
        y, product = torch.empty_like(x), torch.empty_like(state)
        for decay, x_t, B_t, C_t, y_t in zip(decays, x, B_, C_, y):
            state.mul_(decay).addcmul_(x_t, B_t)
            torch.sum(torch.mul(state, C_t, out=product), 0, out=y_t)
        return cut.sequence(y)

    @staticmethod
    @once_differentiable
    def backward(ctx, grad_y):
        u, delta, A, B, C, entry = ctx.saved_tensors
        cut = _Cut(u, B)
        rates, dt, x, B_, C_ = cut.operands(u, delta, A, B, C)
        dy = cut.channels(grad_y)
        decays = _decays(dt, rates)
        product = torch.empty_like(entry)

        states = entry.new_empty(cut.length + 1, *entry.shape)  # states[t + 1] is h[t]
        states[0] = entry
        dC = torch.empty_like(C_)
        for t in range(cut.length):
            torch.addcmul(torch.mul(states[t], decays[t], out=product), x[t], B_[t], out=states[t + 1])
            torch.sum(torch.mul(states[t + 1], dy[t], out=product), 2, keepdim=True, out=dC[t])

        # The gradient to h is the same recurrence from the end: g[t] = C[t] dy[t] + decay[t + 1] g[t + 1].
        g = torch.zeros_like(entry)
        for t in reversed(range(cut.length)):
            g.addcmul_(dy[t], C_[t]).mul_(decays[t])
        g = cut.carry(rates, dt, g, reverse=True)
        dB, dx, ddt, dA = torch.empty_like(B_), torch.empty_like(x), torch.empty_like(dt), torch.zeros_like(g)
        for t in reversed(range(cut.length)):
            g.addcmul_(dy[t], C_[t])
            torch.sum(torch.mul(g, B_[t], out=product), 0, out=dx[t])
            torch.sum(torch.mul(g, x[t], out=product), 2, keepdim=True, out=dB[t])
            g.mul_(decays[t])
            exponent = torch.mul(g, states[t], out=product)  # gradient to dt[t] * rates
            dA.addcmul_(exponent, dt[t])
            torch.sum(exponent.mul_(rates), 0, out=ddt[t])

        dx, ddt = cut.sequence(dx), cut.sequence(ddt)
        dA = dA.sum(-1).permute(1, 2, 0).reshape_as(A)
        return dx * delta, ddt + dx * u, dA, cut.projections(dB), cut.projections(dC)


def _decays(dt: Tensor, rates: Tensor) -> Tensor:
    """Every token's decay, (T, N, G, D / G, M): the one large tensor here, batch * L * D * N numbers."""
    return torch.mul(dt.unsqueeze(1), rates).exp_()


class _Cut:
    """How a sequence is cut into chunks, and the moves between the caller's layout and the chunks' own."""

    def __init__(self, u: Tensor, B: Tensor):
        self.batch, _, self.tokens = u.shape
        self.groups = B.shape[1]
        # About sqrt(L) / 2 measured best; a power of two divides the usual L; rounding errors grow with the length.
        self.length = min(64, 1 << max(0, self.tokens.bit_length() // 2 - 1))
        self.count = -(-self.tokens // self.length)

    def operands(self, u, delta, A, B, C) -> tuple[Tensor, ...]:
        """Decay rates (N, G, D / G, 1); step sizes and scaled inputs (T, G, D / G, M); B and C (T, N, G, 1, M)."""
        rates = A.T.reshape(A.shape[1], self.groups, -1, 1).contiguous()
        B, C = (self._cut(x.transpose(1, 2).flatten(1, 2)).unflatten(1, (-1, self.groups, 1)) for x in (B, C))
        return rates, self.channels(delta), self.channels(delta * u), B, C

    def channels(self, x: Tensor) -> Tensor:
        """(batch, D, L) -> (T, G, D / G, M)"""
        return self._cut(x).unflatten(1, (self.groups, -1))

    def _cut(self, x: Tensor) -> Tensor:
        """(batch, rows, L) -> (T, rows, M); missing tokens are zeros, which leave the state as it is."""
        missing = self.count * self.length - self.tokens
        x = functional.pad(x, (0, missing)) if missing else x
        x = x.reshape(self.batch, -1, self.count, self.length)
        return x.permute(3, 1, 2, 0).flatten(2).contiguous()

    def sequence(self, x: Tensor) -> Tensor:
        """(T, ..., M) -> (batch, rows, L)"""
        x = x.reshape(self.length, -1, self.count, self.batch).permute(3, 1, 2, 0)
        return x.flatten(2)[..., : self.tokens].contiguous()

    def projections(self, x: Tensor) -> Tensor:
        """(T, N, G, 1, M) -> (batch, G, N, L)"""
        return self.sequence(x).unflatten(1, (-1, self.groups)).transpose(1, 2)

    def carry(self, rates: Tensor, dt: Tensor, end: Tensor, reverse: bool = False) -> Tensor:
        """Each chunk's entry state, from what each ends with when it enters with zero; `reverse` runs from the last."""
        decay = torch.exp(rates.double() * dt.sum(0, dtype=torch.float64))
        decay, end = (
            x.unflatten(-1, (self.count, self.batch)).movedim(-2, 0).contiguous() for x in (decay, end.double())
        )
        step = -1 if reverse else 1
        entries = [torch.zeros_like(end[0])]
        for decay_k, end_k in zip(decay.unbind()[::step], end.unbind()[::step]):
            entries.append(torch.addcmul(end_k, decay_k, entries[-1]))
        return torch.stack(entries[:-1][::step], dim=-2).flatten(-2).to(rates.dtype)
