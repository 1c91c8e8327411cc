"""The selective scan by our own Triton kernels for CUDA GPUs (`triton_kernels.py`): forward and backward, float32.

Parallel over the sequence, so that few channels and many tokens still fill a GPU. Nothing of the size tokens * channels
* states is ever written but the states at every 16th token, which the backward pass starts from.

Triton is optional, and imported when it is asked for. With TRITON_INTERPRET=1 in the environment that the process
starts in, the kernels run on the CPU, very slowly, for tests.
"""

import functools
import math
from typing import NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional

TILE = 16  # tokens; the least that Triton multiplies matrices of
_SPANS = 512  # at most: one program of the carry kernel holds all
_CARRIED = 8  # states to a program of the carry kernel: whole sectors of memory
_BLOCK = 32  # channels to a program, at most
LAUNCH = {"num_stages": 1}  # loads that run ahead of the loop cost more instructions than they hide


def unavailable_reason(device: torch.device) -> str | None:
    """Why the kernels cannot run on `device`, or None if they can."""
    if device.type not in ("cpu", "cuda"):
        return f"it runs on CUDA only, not on {device.type!r}"
    return _import_error() or (_trial_error(device) if device.type == "cuda" else _interpreter_error())


@functools.cache
def _import_error() -> str | None:
    try:
        from tpf_model.selective_scan import triton_kernels  # noqa: F401
    except ImportError as error:
        return f"Triton is not installed or broken: {error}"
    return None


@functools.cache
def _interpreter_error() -> str | None:
    import triton

    from tpf_model.selective_scan.triton_kernels import carry_kernel

    if isinstance(carry_kernel, triton.JITFunction):
        return "it runs on CUDA only, not on 'cpu' (but in Triton's interpreter, where TRITON_INTERPRET=1 is set)"
    return None


@functools.cache
def _trial_error(device: torch.device) -> str | None:
    """Triton compiles for the very GPU, with the compiler of the machine: only a run shows that all is there."""
    if not torch.cuda.is_available():
        return "PyTorch finds no CUDA GPU or driver"
    capability = torch.cuda.get_device_capability(device)
    if torch.version.hip or capability < (8, 0):
        return f"{torch.cuda.get_device_name(device)} is no NVIDIA GPU of compute capability 8.0 or later"
    one = torch.ones(1, 1, 1, device=device)
    try:
        triton_scan(one, one, -one[0], one[None], one[None], one[0, 0])
        torch.cuda.synchronize(device)
    except Exception as error:  # whatever compiler, driver or launcher raise
        return f"a trial failed: {type(error).__name__}: {error}"
    return None


def triton_scan(u: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor, D: Tensor) -> Tensor:
    """See `selective_scan`. Returns float32."""
    u, delta, A, B, C, D = (x.float() for x in (u, delta, A, B, C, D))
    return torch.addcmul(_TritonScan.apply(u, delta, A, B, C), D[:, None], u)


class Carried(NamedTuple):
    """What `tile_entry` in triton_kernels.py makes the state that enters a tile of; see there."""

    local: Tensor
    elapsed: Tensor
    carry: Tensor


class Spans:
    """How `rows` scans of `tokens` tokens, of `channels` channels with `states` states, are cut for the kernels."""

    def __init__(self, rows: int, tokens: int, states: int, channels: int):
        self.rows, self.shape = rows, (states, channels)
        self.tiles = -(-tokens // TILE)
        self.length = _power(-(-self.tiles // _SPANS))  # tiles
        self.count = -(-self.tiles // self.length)

    def carried(self, rates: Tensor, run_local) -> Carried:
        """`run_local(local, elapsed, end, total)` launches the kernel that fills them. rates: (G, N, E)."""
        from tpf_model.selective_scan.triton_kernels import carry_kernel

        states, channels = self.shape
        local = rates.new_empty(self.rows, self.tiles, *self.shape)
        elapsed = rates.new_empty(self.rows, self.tiles, channels)
        end, carry = (rates.new_empty(self.rows, self.count, *self.shape) for _ in range(2))
        total = rates.new_empty(self.rows, self.count, channels)
        run_local(local, elapsed, end, total)
        block = min(_CARRIED, states * channels)
        carry_kernel[states * channels // block, self.rows](
            end, total, rates, carry, self.count, len(rates),
            N=states, E=channels, SPANS=_power(self.count), STATES=block, num_warps=4,
        )  # fmt: skip
        return Carried(local, elapsed, carry)


def exponent_rates(A: Tensor) -> Tensor:
    """Of decays written as powers of 2."""
    return A / math.log(2)


def _power(x: int) -> int:
    """The least power of two that is >= x."""
    return 1 << (x - 1).bit_length()


class _Problem:
    """Sizes of a scan, as the kernels take them."""

    def __init__(self, u: Tensor, B: Tensor):
        self.batch, self.channels, self.tokens = u.shape
        self.groups, self.states = B.shape[1:3]
        self.width = self.channels // self.groups
        self.E = min(_BLOCK, max(16, _power(self.width)))
        self.N = _power(self.states)
        self.blocks = -(-self.width // self.E)
        self.rows = self.batch * self.groups * self.blocks
        self.spans = Spans(self.rows, self.tokens, self.N, self.E)
        self.arguments = self.tokens, self.width, self.states, self.blocks, self.groups * self.blocks
        self.constants = {"T": TILE, "N": self.N, "E": self.E, "SPAN": self.spans.length, **LAUNCH}

    def rates(self, A: Tensor) -> Tensor:
        """(D, N) -> (groups * blocks, N, E), padded with zeros"""
        missing = (0, self.N - self.states, 0, self.blocks * self.E - self.width)
        rates = functional.pad(exponent_rates(A).unflatten(0, (self.groups, -1)), missing)
        return rates.reshape(-1, self.E, self.N).transpose(1, 2).contiguous()

    def carried(self, x: Tensor, delta: Tensor, B: Tensor, rates: Tensor, reverse: bool) -> Carried:
        from tpf_model.selective_scan.triton_kernels import local_kernel

        grid = (self.spans.count, self.rows)
        return self.spans.carried(
            rates,
            lambda *parts: local_kernel[grid](
                x, delta, B, rates, *parts, *self.arguments, **self.constants, REVERSE=reverse, num_warps=self.E // 16
            ),
        )


class _TritonScan(torch.autograd.Function):
    """Keeps its inputs and what the state at each tile's start is made of."""

    @staticmethod
    def forward(ctx, u, delta, A, B, C):
        from tpf_model.selective_scan.triton_kernels import output_kernel

        u, delta, B, C = (x.contiguous() for x in (u, delta, B, C))
        problem = _Problem(u, B)
        rates = problem.rates(A)
        y = torch.empty_like(u)
        with torch.cuda.device_of(u):
            carried = problem.carried(u, delta, B, rates, reverse=False)
            output_kernel[problem.spans.tiles, problem.rows](
                u, delta, B, C, rates, *carried, y, *problem.arguments, **problem.constants, num_warps=problem.E // 16
            )
        ctx.save_for_backward(u, delta, B, C, rates, *carried)
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx, dy):
        from tpf_model.selective_scan.triton_kernels import gradient_kernel

        u, delta, B, C, rates, *carried = ctx.saved_tensors
        problem = _Problem(u, B)
        dy = dy.contiguous()
        du, ddelta = torch.empty_like(u), torch.empty_like(u)
        dB, dC = (u.new_empty(problem.rows, problem.states, problem.tokens) for _ in range(2))
        dA = u.new_empty(problem.rows, problem.spans.tiles, problem.N, problem.E)
        with torch.cuda.device_of(u):
            carried_back = problem.carried(dy, delta, C, rates, reverse=True)
            gradient_kernel[problem.spans.tiles, problem.rows](
                u, delta, B, C, dy, rates, *carried, *carried_back, du, ddelta, dB, dC, dA,
                *problem.arguments, **problem.constants, num_warps=problem.E // 4,
            )  # fmt: skip
        dB, dC = (x.unflatten(0, (problem.batch, problem.groups, problem.blocks)).sum(2) for x in (dB, dC))
        dA = dA.unflatten(0, (problem.batch, problem.groups, -1)).sum((0, 3))  # (G, blocks, N, E)
        dA = dA.transpose(2, 3).flatten(1, 2)[:, : problem.width, : problem.states].flatten(0, 1)
        return du, ddelta, dA, dB, dC
