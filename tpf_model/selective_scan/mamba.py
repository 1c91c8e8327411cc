"""The selective scan by mamba-ssm's CUDA kernel, where that package is installed (it is not one of our dependencies)."""

import importlib.util

import torch


def unavailable_reason(device: torch.device) -> str | None:
    """Why the kernel cannot run on `device`, or None if it can."""
    if device.type != "cuda":
        return f"mamba-ssm's kernel runs on CUDA only, the tensors are on {device.type!r}"
    if importlib.util.find_spec("mamba_ssm") is None:
        return "the package mamba-ssm is not installed"
    return None


def mamba_scan(
    u: torch.Tensor, delta: torch.Tensor, A: torch.Tensor, B: torch.Tensor, C: torch.Tensor, D: torch.Tensor
) -> torch.Tensor:
    """See `selective_scan`. Computes and returns float32."""
    from mamba_ssm.ops.selective_scan_interface import selective_scan_fn

    u, delta, A, B, C, D = (x.float().contiguous() for x in (u, delta, A, B, C, D))
    with torch.autocast(u.device.type, enabled=False):
        return selective_scan_fn(u, delta, A, B, C, D)
