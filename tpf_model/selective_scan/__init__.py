"""The selective scan of a state space model (Mamba): one function, several backends, one contract.

For every batch entry and channel d, with state h in R^N and h[-1] = 0,

    h[t] = exp(delta[t] A) * h[t - 1] + delta[t] u[t] B[t]
    y[t] = C[t] . h[t] + D u[t]
"""

import functools
import logging

import torch
from torch import Tensor

from tpf_model.selective_scan.blocked import blocked_scan
from tpf_model.selective_scan.mamba import mamba_scan, unavailable_reason
from tpf_model.selective_scan.reference import reference_scan

_BACKENDS = {"reference": reference_scan, "blocked": blocked_scan, "mamba": mamba_scan}
_log = logging.getLogger(__name__)


class ScanBackendError(ValueError):
    """The wanted backend does not exist or cannot run here."""


def resolve_backend(name: str, device: torch.device | str) -> str:
    """The backend that `name` stands for on `device`: "auto" is "mamba" where that runs, else "blocked".

    Raises ScanBackendError with the reason where a backend asked for by name cannot run.
    """
    device = torch.device(device)
    if name == "auto":
        return "mamba" if unavailable_reason(device) is None else "blocked"
    if name not in _BACKENDS:
        raise ScanBackendError(f"unknown scan {name!r}; known: auto, {', '.join(_BACKENDS)}")
    reason = unavailable_reason(device) if name == "mamba" else None
    if reason:
        raise ScanBackendError(f"scan 'mamba' cannot run: {reason}; 'auto' or 'blocked' can")
    return name


def selective_scan(
    u: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor, D: Tensor, backend: str = "auto"
) -> Tensor:
    """Scan along the last dimension; returns y (batch, D, L) in float32, or float64 where `u` is float64.

    u: (batch, D, L) input. delta: (batch, D, L) step sizes > 0, after softplus. A: (D, N) decay rates < 0.
    B, C: (batch, N, L), or (batch, G, N, L) where each of G equal groups of channels has its own.
    D: (D,) weight of the direct path. backend: see `resolve_backend`.
    """
    if B.dim() == 3:
        B, C = B.unsqueeze(1), C.unsqueeze(1)
    name = resolve_backend(backend, u.device)
    _log_once(name, u.device.type)
    return _BACKENDS[name](u, delta, A, B, C, D).to(torch.promote_types(u.dtype, torch.float32))


@functools.cache
def _log_once(name: str, device: str) -> None:
    _log.info("selective scan: %s on %s", name, device)
