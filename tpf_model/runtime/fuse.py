"""The fusion of two images in memory, as sessions that run it with PyTorch do."""

import numpy as np
import torch
from torch import Tensor, nn

from tpf_model.fusion import PixelFusionAdapter
from tpf_model.fusion_native import runs_native


def fuse_images(
    fusion: nn.Module, visible: np.ndarray, thermal: np.ndarray, device: torch.device | str = "cpu"
) -> Tensor:
    """visible (H, W, 3) uint8 RGB, thermal (H, W) uint8 -> fused (3, H, W) float32; `fusion` is on `device`."""
    rgb, grey = (torch.from_numpy(image).to(device) for image in (visible, thermal))
    rgb, grey = rgb.permute(2, 0, 1)[None], grey.expand(1, 3, *grey.shape)
    if not (isinstance(fusion, PixelFusionAdapter) and runs_native(fusion, rgb)):  # the kernel takes them as they are
        # Made contiguous, or the adapter's first and last steps take twice as long.
        rgb, grey = ((image.float() / 255).contiguous() for image in (rgb, grey))
    return fusion(rgb, grey)[0]
