"""The selective scan by mamba-ssm's CUDA kernel, where that package is installed (it is not one of our dependencies)."""

import functools

import torch


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


def mamba_scan(
    u: torch.Tensor, delta: torch.Tensor, A: torch.Tensor, B: torch.Tensor, C: torch.Tensor, D: torch.Tensor
) -> torch.Tensor:
    """See `selective_scan`. Returns float32."""
    from mamba_ssm.ops.selective_scan_interface import selective_scan_fn

    return selective_scan_fn(*(x.float().contiguous() for x in (u, delta, A, B, C, D)))
