"""What the filters see of an image: edges by direction, evened out over neighbouring cells, and colour."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

_DIRECTIONS = 8  # of the edges that are told apart


def describe(images: Tensor, cell: int) -> Tensor:
    """(B, 3, H, W) of about 0..1, sides a multiple of `cell` pixels -> (B, 11, H / cell, W / cell).

    Each channel's mean over an image's cells is 0.
    """
    across = F.conv2d(images.mean(dim=1, keepdim=True), _derivatives(images.device), padding=1)
    along = F.avg_pool2d(across.relu(), cell)
    edges = torch.cat((along, along - F.avg_pool2d(across, cell)), dim=1)  # max(x, 0) - x is max(-x, 0)
    strength = edges.square().sum(dim=1, keepdim=True).sqrt()
    edges = edges / (F.avg_pool2d(strength, 3, stride=1, padding=1) + 0.01)
    cells = torch.cat((edges.clamp(max=1), F.avg_pool2d(images, cell)), dim=1)
    return cells - cells.mean(dim=(2, 3), keepdim=True)


def halved(fused: Tensor) -> Tensor:
    """A fused image (3, H, W) as one of a batch, (1, 3, H / 2, W / 2) in 0..1: the mean of each 2 x 2 pixels."""
    image = fused.clamp(0, 1)[None]
    rows = image[..., ::2, :] + image[..., 1::2, :]  # some four times as fast as PyTorch's pooling on a CPU
    return (rows[..., ::2] + rows[..., 1::2]) / 4


def _derivatives(device: torch.device) -> Tensor:
    """(_DIRECTIONS / 2, 1, 3, 3): Sobel's derivative in each direction; the other half are the opposite ones."""
    line = torch.arange(3.0, device=device) - 1
    across = torch.outer(2 - line.abs(), line) / 8
    angles = torch.arange(_DIRECTIONS // 2, device=device).view(-1, 1, 1) * (2 * math.pi / _DIRECTIONS)
    return (angles.cos() * across + angles.sin() * across.T)[:, None]
