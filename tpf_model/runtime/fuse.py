"""The fusion of two images in memory, as sessions that run it with PyTorch do."""

import functools
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn

from tpf_model.fusion import PixelFusionAdapter
from tpf_model.fusion_native import NativeFusion, has_native
from tpf_model.runtime.precision import full_float32

ImageFusion = Callable[[np.ndarray, np.ndarray], Tensor]


def fusion_of_images(fusion: nn.Module, device: torch.device | str = "cpu") -> ImageFusion:
    """`fusion`, which is on `device`, for images in memory, with the weights that it has now.

    visible (H, W, 3) uint8 RGB, thermal (H, W) uint8 -> fused (3, H, W) float32.
    """
    if isinstance(fusion, PixelFusionAdapter) and has_native(fusion):
        return NativeFusion(fusion)
    return functools.partial(_fuse, fusion, device)


def _fuse(fusion: nn.Module, device: torch.device | str, visible: np.ndarray, thermal: np.ndarray) -> Tensor:
    rgb, grey = (torch.from_numpy(image).to(device) for image in (visible, thermal))
    rgb, grey = rgb.permute(2, 0, 1)[None], grey.expand(1, 3, *grey.shape)
    with full_float32():
        # Made contiguous, or the adapter's first and last steps take twice as long.
        return fusion(*((image.float() / 255).contiguous() for image in (rgb, grey)))[0]
