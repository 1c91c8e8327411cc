"""The tracker's task loss: focal x 1 + GIoU x 2 + L1 x 5 (OSTrack's weights)."""

from torch import Tensor

from tpf_model.head import Prediction
from tpf_training.losses.box import box_losses
from tpf_training.losses.focal import focal_loss, gaussian_map


def task_loss(prediction: Prediction, boxes: Tensor) -> tuple[Tensor, dict[str, float]]:
    """Loss of `prediction` against `boxes` (B, 4), x y w h as fractions of the crop, and its parts for the log."""
    target = gaussian_map(boxes, prediction.score.shape[-1])
    focal = focal_loss(prediction.score, target)
    giou, l1, overlap = box_losses(prediction, boxes, target)
    total = focal + 2 * giou + 5 * l1
    parts = {"loss": total, "focal": focal, "giou": giou, "l1": l1, "iou": overlap}
    return total, {name: value.item() for name, value in parts.items()}
