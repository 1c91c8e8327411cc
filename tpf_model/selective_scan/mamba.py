"""The selective scan by mamba-ssm's CUDA kernel, where that package is installed; it is not a dependency.

Its `selective_scan_fn(u, delta, A, B, C, D)` has this package's contract: the same layouts, grouped B and C included,
delta after softplus by default. It wants one dtype for u, delta, B and C and float32 for A and D, and the last
dimension contiguous; all are float32 and contiguous here.
"""

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
        from mamba_ssm.ops import selective_scan_interface
    except Exception as error:  # it imports much that has nothing to do with the scan, and whatever that raises
        return f"mamba-ssm is not installed or broken: {type(error).__name__}: {error}"
    if getattr(selective_scan_interface, "selective_scan_cuda", None) is None:
        return "mamba-ssm is there without its CUDA kernel: install it with MAMBA_KEEP_CUDA_BUILD=TRUE, see docs/gpu.md"
    return None


def mamba_scan(u: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor, D: Tensor) -> Tensor:
    """See `selective_scan`. Returns float32."""
    from mamba_ssm.ops.selective_scan_interface import selective_scan_fn

    return selective_scan_fn(*(x.float().contiguous() for x in (u, delta, A, B, C, D)))
