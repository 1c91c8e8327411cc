"""The tracker's task loss: focal x 1 + GIoU x 2 + L1 x 5 (OSTrack's weights)."""

from torch import Tensor

from tpf_model.head import Prediction
from tpf_training.losses.box import box_losses
from tpf_training.losses.focal import focal_loss, gaussian_map


def task_loss(prediction: Prediction, boxes: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
    """Loss of `prediction` against `boxes` (B, 4), x y w h as fractions of the crop, and its parts for the log.

    A box of NaN means that the crop does not show the target: its score is to be low everywhere, no box is learnt.
    """
    target = gaussian_map(boxes, prediction.score.shape[-1])
    focal = focal_loss(prediction.score, target)
    shown = boxes.isfinite().all(dim=1)
    maps = Prediction(prediction.score[shown], prediction.size[shown], prediction.offset[shown])
    giou, l1, overlap = box_losses(maps, boxes[shown], target[shown])
    total = focal + 2 * giou + 5 * l1
    parts = {"loss": total, "focal": focal, "giou": giou, "l1": l1, "iou": overlap}
    return total, {name: value.detach() for name, value in parts.items()}
