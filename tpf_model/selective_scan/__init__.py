"""The selective scan of a state space model (Mamba): one function, several backends, one contract.

For every batch entry and channel d, with state h in R^N and h[-1] = 0,

    h[t] = exp(delta[t] A) * h[t - 1] + delta[t] u[t] B[t]
    y[t] = C[t] . h[t] + D u[t]
"""

import functools
import logging

import torch
from torch import Tensor

from tpf_model.selective_scan import mamba, native, triton
from tpf_model.selective_scan.blocked import blocked_scan
from tpf_model.selective_scan.reference import reference_scan

_BACKENDS = {
    "reference": reference_scan,
    "blocked": blocked_scan,
    "native": native.native_scan,
    "triton": triton.triton_scan,
    "mamba": mamba.mamba_scan,
}
_UNAVAILABLE = {
    "native": native.unavailable_reason,
    "triton": triton.unavailable_reason,
    "mamba": mamba.unavailable_reason,
}
_FASTEST = {"cpu": ("native",), "cuda": ("triton", "mamba")}  # by type of device; "blocked" where none of them can run
_log = logging.getLogger(__name__)


class ScanBackendError(ValueError):
    """The wanted backend does not exist or cannot run here."""


def resolve_backend(name: str, device: torch.device | str) -> str:
    """The backend that `name` stands for on `device`; "auto" is the fastest that runs there.

    Raises ScanBackendError with the reason where a backend asked for by name cannot run.
    """
    device = torch.device(device)
    if name == "auto":
        return _choose(device)
    if name not in _BACKENDS:
        raise ScanBackendError(f"unknown scan {name!r}; known: auto, {', '.join(_BACKENDS)}")
    reason = _UNAVAILABLE[name](device) if name in _UNAVAILABLE else None
    if reason:
        raise ScanBackendError(f"scan {name!r} cannot run: {reason}; 'auto' or 'blocked' can")
    return name


@functools.cache
def _choose(device: torch.device) -> str:
    reasons = []
    for name in _FASTEST.get(device.type, ()):
        reason = _UNAVAILABLE[name](device)
        if reason is None:
            return name
        reasons.append(f"{name} cannot run: {reason}")
    if reasons:
        _log.warning("selective scan: blocked, several times slower than a compiled kernel; %s", "; ".join(reasons))
    return "blocked"


def selective_scan(
    u: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor, D: Tensor, backend: str = "auto"
) -> Tensor:
    """Scan along the last dimension; returns y (batch, D, L) in float32, or float64 where `u` is float64.

    u: (batch, D, L) input. delta: (batch, D, L) step sizes > 0, after softplus. A: (D, N) decay rates < 0.
    B, C: (batch, N, L), or (batch, G, N, L) where each of G equal groups of channels has its own.
    D: (D,) weight of the direct path. backend: see `resolve_backend`; "native", "triton" and "mamba" compute in
    float32, so "auto" does not choose them for float64.
    """
    if B.dim() == 3:
        B, C = B.unsqueeze(1), C.unsqueeze(1)
    name = "blocked" if backend == "auto" and u.dtype == torch.float64 else resolve_backend(backend, u.device)
    log_backend(name, u.device.type)
    return _BACKENDS[name](u, delta, A, B, C, D).to(torch.promote_types(u.dtype, torch.float32))


@functools.cache
def log_backend(name: str, device: str) -> None:
    """Say once in a process which backend runs on which type of device."""
    _log.info("selective scan: %s on %s", name, device)
