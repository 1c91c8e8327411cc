"""Box regression: generalised IoU (Rezatofighi et al., CVPR 2019) and L1."""

import torch
from torch import Tensor

from tpf_model.head import Prediction


def decode_boxes(prediction: Prediction) -> Tensor:
    """The box that each cell predicts: (B, 4, G, G), x y w h as fractions of the crop."""
    cells = prediction.score.shape[-1]
    axis = torch.arange(cells, device=prediction.score.device, dtype=torch.float32)
    grid = torch.stack(torch.meshgrid(axis, axis, indexing="xy"))
    centre = (grid + prediction.offset.float()) / cells
    return torch.cat([centre - prediction.size / 2, prediction.size], dim=1)


def boxes_at_peaks(prediction: Prediction) -> Tensor:
    """The box (B, 4) that the best cell of each score map predicts, x y w h as fractions of the crop."""
    best = prediction.score.flatten(1).argmax(dim=1)
    return decode_boxes(prediction).flatten(2)[torch.arange(len(best), device=best.device), :, best]


def box_losses(prediction: Prediction, boxes: Tensor, target_map: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """GIoU loss, L1 loss and mean IoU against `boxes` (B, 4).

    Every cell near the centre answers, weighted by `target_map` (B, 1, G, G): at test time the score's peak may lie
    a cell off, and its box must be right there too. The IoU is that of the centre cell. All are 0 for no boxes.
    """
    predicted = decode_boxes(prediction)
    truth = boxes[:, :, None, None].expand_as(predicted)
    overlap, generalised = box_overlaps(predicted, truth)
    weight = target_map[:, 0] / target_map[:, 0].sum(dim=(1, 2), keepdim=True)
    count = max(1, len(boxes))
    giou_loss = ((1 - generalised) * weight).sum() / count
    l1_loss = ((_corners(predicted) - _corners(truth)).abs().mean(dim=1) * weight).sum() / count
    return giou_loss, l1_loss, (overlap * target_map[:, 0].eq(1)).sum().detach() / count


def box_overlaps(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """IoU and generalised IoU of boxes (B, 4, ...), x y w h, each (B, ...)."""
    a_low, a_high = a[:, :2], a[:, :2] + a[:, 2:]
    b_low, b_high = b[:, :2], b[:, :2] + b[:, 2:]
    inside = (torch.minimum(a_high, b_high) - torch.maximum(a_low, b_low)).clamp(min=0).prod(dim=1)
    union = a[:, 2:].prod(dim=1) + b[:, 2:].prod(dim=1) - inside
    hull = (torch.maximum(a_high, b_high) - torch.minimum(a_low, b_low)).prod(dim=1)
    overlap = inside / union.clamp(min=1e-9)
    return overlap, overlap - (hull - union) / hull.clamp(min=1e-9)


def _corners(boxes: Tensor) -> Tensor:
    return torch.cat([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], dim=1)
