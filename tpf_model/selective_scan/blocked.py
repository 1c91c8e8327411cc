"""The selective scan in plain PyTorch, parallel over chunks of the sequence; runs and trains on any device.

The sequence is cut into K chunks of T tokens. The first pass runs through all chunks side by side from a zero state, so
the Python loop has T steps, not L. A carry pass over the K chunk ends gives each chunk's true entry state, and the
second pass runs through the chunks again from there and reads the output. The backward pass has the same form.

Numerics: a chunk's decay is exp(A * sum(delta)) and the carry is float64. A product of many decays loses the difference
between exp(-1e-6) and 1 in float32, and a division by exp(-cumulative sum) overflows.

Layout inside: (T, N, G, D / G, M), with M = K * batch innermost, because all broadcasts are then over outer dimensions.
"""

import math

import torch
from torch.autograd.function import once_differentiable
from torch.nn import functional


def blocked_scan(
    u: torch.Tensor, delta: torch.Tensor, A: torch.Tensor, B: torch.Tensor, C: torch.Tensor, D: torch.Tensor
) -> torch.Tensor:
    """See `selective_scan`. Computes and returns float32 (float64 if `u` is)."""
    dtype = torch.float64 if u.dtype == torch.float64 else torch.float32
    with torch.autocast(u.device.type, enabled=False):
        u, delta, A, B, C, D = (x.to(dtype) for x in (u, delta, A, B, C, D))
        return torch.addcmul(_BlockedScan.apply(u, delta, A, B, C), D[:, None], u)


class _BlockedScan(torch.autograd.Function):
    """Keeps its inputs and the chunks' entry states, and computes all other states anew in the backward pass."""

    @staticmethod
    def forward(ctx, u, delta, A, B, C):
        chunks = _Chunks(u, B)
        A_ = chunks.rates(A)
        dt, x, B_, C_ = chunks.channels(delta), chunks.channels(delta * u), chunks.states(B), chunks.states(C)
        end = torch.zeros_like(A_).expand(*A_.shape[:-1], chunks.width).contiguous()
        decay = torch.empty_like(end)
        for t in range(chunks.length):
            torch.mul(dt[t], A_, out=decay)
            end.mul_(decay.exp_()).addcmul_(x[t], B_[t])
        state = chunks.carry(A_, dt, end)
        if any(ctx.needs_input_grad):
            ctx.save_for_backward(u, delta, A, B, C, state.clone())
        y, product = torch.empty_like(x), torch.empty_like(state)
        for t in range(chunks.length):
            torch.mul(dt[t], A_, out=decay)
            state.mul_(decay.exp_()).addcmul_(x[t], B_[t])
            torch.sum(torch.mul(state, C_[t], out=product), 0, out=y[t])
        return chunks.sequence(y)

    @staticmethod
    @once_differentiable
    def backward(ctx, grad_y):
        u, delta, A, B, C, state = ctx.saved_tensors
        chunks = _Chunks(u, B)
        A_ = chunks.rates(A)
        dt, x, B_, C_ = chunks.channels(delta), chunks.channels(delta * u), chunks.states(B), chunks.states(C)
        dy = chunks.channels(grad_y)

        decayed = state.new_empty(chunks.length, *state.shape)  # exp(delta A) h[t - 1]
        decay = torch.empty_like(state)
        dC = torch.empty_like(C_)
        state = state.clone()
        for t in range(chunks.length):
            torch.mul(dt[t], A_, out=decay)
            torch.mul(state, decay.exp_(), out=decayed[t])
            torch.addcmul(decayed[t], x[t], B_[t], out=state)
            torch.sum(state * dy[t], 2, keepdim=True, out=dC[t])

        # The adjoint is the same recurrence from the end: g[t] = C[t] dy[t] + exp(delta[t + 1] A) g[t + 1].
        g = torch.zeros_like(state)
        for t in reversed(range(chunks.length)):
            g.addcmul_(dy[t], C_[t])
            torch.mul(dt[t], A_, out=decay)
            g.mul_(decay.exp_())
        g = chunks.carry(A_, dt, g, reverse=True)

        dB, dx, d_dt, dA = torch.empty_like(B_), torch.empty_like(x), torch.empty_like(dt), torch.zeros_like(g)
        for t in reversed(range(chunks.length)):
            g.addcmul_(dy[t], C_[t])
            torch.sum(g * B_[t], 0, out=dx[t])
            torch.sum(g * x[t], 2, keepdim=True, out=dB[t])
            exponent = g * decayed[t]  # gradient to delta A
            torch.sum(exponent * A_, 0, out=d_dt[t])
            dA.addcmul_(exponent, dt[t])
            torch.mul(dt[t], A_, out=decay)
            g.mul_(decay.exp_())

        dx, d_dt = chunks.sequence(dx), chunks.sequence(d_dt)
        dA = dA.sum(-1).permute(1, 2, 0).reshape_as(A)
        return dx * delta, d_dt + dx * u, dA, chunks.states_back(dB), chunks.states_back(dC)


class _Chunks:
    """The cut of one sequence into chunks, and the moves between the caller's layout and the chunks' one."""

    def __init__(self, u: torch.Tensor, B: torch.Tensor):
        self.batch, _, self.tokens = u.shape
        self.groups = B.shape[1]
        self.length = max(1, math.isqrt(self.tokens) // 2)
        self.count = -(-self.tokens // self.length)
        self.width = self.count * self.batch

    def _cut(self, x: torch.Tensor) -> torch.Tensor:
        """(batch, rows, L) -> (T, rows, M); missing tokens are zeros, which leave the state as it is."""
        x = functional.pad(x, (0, self.count * self.length - self.tokens))
        x = x.view(self.batch, -1, self.count, self.length)
        return x.permute(3, 1, 2, 0).reshape(self.length, -1, self.width)

    def channels(self, x: torch.Tensor) -> torch.Tensor:
        """(batch, D, L) -> (T, G, D / G, M)"""
        return self._cut(x).unflatten(1, (self.groups, -1))

    def states(self, x: torch.Tensor) -> torch.Tensor:
        """(batch, G, N, L) -> (T, N, G, 1, M)"""
        x = self._cut(x.flatten(1, 2)).unflatten(1, (self.groups, -1))
        return x.transpose(1, 2).unsqueeze(3).contiguous()

    def rates(self, A: torch.Tensor) -> torch.Tensor:
        """(D, N) -> (N, G, D / G, 1)"""
        return A.T.reshape(A.shape[1], self.groups, -1, 1).contiguous()

    def sequence(self, x: torch.Tensor) -> torch.Tensor:
        """(T, G, D / G, M) -> (batch, D, L)"""
        x = x.reshape(self.length, -1, self.count, self.batch).permute(3, 1, 2, 0)
        return x.flatten(2)[..., : self.tokens].contiguous()

    def states_back(self, x: torch.Tensor) -> torch.Tensor:
        """(T, N, G, 1, M) -> (batch, G, N, L)"""
        return self.sequence(x.squeeze(3).transpose(1, 2)).unflatten(1, (self.groups, -1))

    def carry(self, A: torch.Tensor, dt: torch.Tensor, end: torch.Tensor, reverse: bool = False) -> torch.Tensor:
        """Each chunk's entry state (from the other side if `reverse`), given what it ends with from a zero state."""
        decay = torch.exp(A.double() * dt.sum(0, dtype=torch.float64))
        decay, end = (x.unflatten(-1, (self.count, self.batch)).movedim(-2, 0) for x in (decay, end.double()))
        entry = torch.zeros_like(end)
        order = range(self.count)[::-1] if reverse else range(self.count)
        for before, k in zip(order, order[1:]):
            torch.addcmul(end[before], decay[before], entry[before], out=entry[k])
        return entry.movedim(0, -2).flatten(-2).to(A.dtype)
