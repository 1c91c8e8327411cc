"""CenterNet's focal loss on Gaussian centre maps (Zhou et al., "Objects as Points", 2019, eq. 1)."""

import torch
from torch import Tensor


def gaussian_map(boxes: Tensor, cells: int, min_overlap: float = 0.7) -> Tensor:
    """Target score maps for `boxes` (B, 4), x y w h as fractions of the crop: (B, 1, cells, cells) in [0, 1].

    The cell that holds the centre is exactly 1. The Gaussian's radius is that of CenterNet's and OSTrack's code, in
    whole cells, its sigma a sixth of the diameter. A box of NaN gives zeros.
    """
    width, height = boxes[:, 2] * cells, boxes[:, 3] * cells
    sigma = (2 * _radius(width, height, min_overlap).floor() + 1) / 6
    column, row = centre_cells(boxes, cells)
    axis = torch.arange(cells, device=boxes.device, dtype=boxes.dtype)
    dx = (axis[None, :] - column[:, None]).square()
    dy = (axis[None, :] - row[:, None]).square()
    distance = dy[:, :, None] + dx[:, None, :]
    return torch.exp(-distance / (2 * sigma.square())[:, None, None])[:, None].nan_to_num(0)


def centre_cells(boxes: Tensor, cells: int) -> tuple[Tensor, Tensor]:
    """Column and row (B,) of the cell that holds each box's centre."""
    centres = (boxes[:, :2] + boxes[:, 2:] / 2) * cells
    column, row = centres.floor().clamp(0, cells - 1).unbind(1)
    return column, row


def focal_loss(score: Tensor, target: Tensor, alpha: float = 2.0, beta: float = 4.0) -> Tensor:
    """score (B, 1, G, G) in (0, 1), target as `gaussian_map` gives it -> the loss per target, a scalar."""
    positive = target.eq(1)
    at_centre = -torch.log(score) * (1 - score).pow(alpha)
    elsewhere = -torch.log(1 - score) * score.pow(alpha) * (1 - target).pow(beta)
    return torch.where(positive, at_centre, elsewhere).sum() / positive.sum().clamp(min=1)


def _radius(width: Tensor, height: Tensor, overlap: float) -> Tensor:
    """4 `overlap` times the shift by which both corners of a box may move outwards until its IoU is `overlap`.

    CornerNet means the least of three such shifts; CenterNet's and OSTrack's code lacks the division, and then this one
    is the least. With the division the radius would be below one cell for targets in a search crop, and the cells
    around the centre's, which `decode` averages over, would learn no box.
    """
    slope, area = 2 * overlap * (width + height), width * height
    return (-slope + (slope.square() + 16 * overlap * (1 - overlap) * area).sqrt()) / 2
