"""The selective scan by mamba-ssm's CUDA kernel, where that package is installed; it is not a dependency."""

import functools

import torch
from torch import Tensor


def unavailable_reason(device: torch.device) -> str | None:
    """Why the kernel cannot run on `device`, or None if it can."""
    if device.type != "cuda":
        return f"mamba-ssm's kernel runs on CUDA only, not on {device.type!r}"
    return _import_error()


@functools.cache
def _import_error() -> str | None:
    try:
        from mamba_ssm.ops.selective_scan_interface import selective_scan_fn  # noqa: F401
    except ImportError as error:
        return f"mamba-ssm is not installed or broken: {error}"
    return None


def mamba_scan(u: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor, D: Tensor) -> Tensor:
    """See `selective_scan`. Returns float32."""
    from mamba_ssm.ops.selective_scan_interface import selective_scan_fn

    return selective_scan_fn(*(x.float().contiguous() for x in (u, delta, A, B, C, D)))
