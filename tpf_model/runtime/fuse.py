"""The fusion of two images in memory, as sessions that run it with PyTorch do."""

import numpy as np
import torch
from torch import Tensor, nn


def fuse_images(
    fusion: nn.Module, visible: np.ndarray, thermal: np.ndarray, device: torch.device | str = "cpu"
) -> Tensor:
    """visible (H, W, 3) uint8 RGB, thermal (H, W) uint8 -> fused (3, H, W) float32; `fusion` is on `device`."""
    # Made contiguous, or the adapter's first and last steps take twice as long.
    rgb = _to_device(visible, device).permute(2, 0, 1).contiguous()
    grey = _to_device(thermal, device).expand(3, *thermal.shape).contiguous()
    return fusion(rgb[None], grey[None])[0]


def _to_device(image: np.ndarray, device: torch.device | str) -> Tensor:
    return torch.from_numpy(image).to(device).float() / 255
