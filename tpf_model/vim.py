"""Vision Mamba (ViM) block: a selective scan forward and backward over the tokens, with a residual connection.

After Zhu et al., "Vision Mamba", 2024, and the reference Mamba block it is made of.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from tpf_model.selective_scan import selective_scan
from tpf_model.vim_triton import runs_triton, triton_block

_CONV = 4  # taps of the causal convolution
_DIRECTIONS = 2  # forward, backward


class ViMBlock(nn.Module):
    """(B, L, C) tokens -> (B, L, C).

    The backward direction is the same computation on the reversed sequence with its own weights. Both run as one:
    channels [0, E) of the inner tensors are the forward direction, [E, 2 E) the backward one, E = `expand` * C.
    Step sizes, decay rates and state are float32 whatever autocast says. What is written here is the definition; a GPU
    runs it and its gradient as a few kernels (`vim_triton.py`), and a CPU, where no gradient is wanted, the whole
    fusion adapter as one (`fusion_native.py`).
    """

    def __init__(self, dim: int, states: int = 16, expand: int = 2, scan: str = "auto"):
        super().__init__()
        inner, rank = expand * dim, math.ceil(dim / 16)
        both = _DIRECTIONS * inner
        self.scan, self.rank, self.states = scan, rank, states
        self.norm = nn.LayerNorm(dim)
        self.in_proj = nn.Linear(dim, 2 * inner, bias=False)
        self.conv = nn.Conv1d(both, both, _CONV, padding=_CONV - 1, groups=both)
        self.x_proj = nn.Parameter(torch.empty(_DIRECTIONS, rank + 2 * states, inner))
        self.dt_proj = nn.Parameter(torch.empty(_DIRECTIONS, inner, rank))
        self.dt_bias = nn.Parameter(torch.empty(both))
        self.A_log = nn.Parameter(torch.empty(both, states))
        self.D = nn.Parameter(torch.ones(both))
        self.out_proj = nn.Linear(inner, dim, bias=False)
        self._initialise()

    @torch.no_grad()
    def _initialise(self) -> None:
        """Mamba's: decay rates -1 ... -N (S4D-real), step sizes log-uniform in [0.001, 0.1]."""
        nn.init.uniform_(self.x_proj, -(self.x_proj.shape[2] ** -0.5), self.x_proj.shape[2] ** -0.5)
        nn.init.uniform_(self.dt_proj, -(self.rank**-0.5), self.rank**-0.5)
        dt = torch.empty_like(self.dt_bias).uniform_(math.log(1e-3), math.log(1e-1)).exp()
        self.dt_bias.copy_(dt + torch.log(-torch.expm1(-dt)))  # the inverse of softplus
        self.A_log.copy_(torch.arange(1, self.states + 1).log().expand_as(self.A_log))

    def forward(self, tokens: Tensor) -> Tensor:
        if runs_triton(self, tokens):
            return triton_block(self, tokens)
        return self.definition(tokens)

    def definition(self, tokens: Tensor) -> Tensor:
        """`forward` by PyTorch's operations around the selective scan."""
        x, gate = self.in_proj(self.norm(tokens)).transpose(1, 2).chunk(2, dim=1)  # (B, E, L) each
        x = self.conv(torch.cat([x, x.flip(-1)], dim=1))[..., : x.shape[-1]]
        with torch.autocast(x.device.type, enabled=False):
            y = self._scan(functional.silu(x.to(self.D.dtype)))
        forward, backward = y.chunk(2, dim=1)
        y = (forward + backward.flip(-1)) * functional.silu(gate)
        return tokens + self.out_proj(y.transpose(1, 2))

    def _scan(self, x: Tensor) -> Tensor:
        """Both directions' selective scan: (B, 2 E, L) -> the same."""
        projected = self.x_proj @ x.unflatten(1, (_DIRECTIONS, -1))  # (B, 2, rank + 2 N, L)
        dt, B, C = projected.split([self.rank, self.states, self.states], dim=2)
        dt = (self.dt_proj @ dt).flatten(1, 2) + self.dt_bias[:, None]
        A = -torch.exp(self.A_log)
        return selective_scan(x, functional.softplus(dt), A, B, C, self.D, self.scan)
