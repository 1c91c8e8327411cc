"""MAD's loss: how far the fused image is from what the experts make of the same pair, each by its weight."""

from torch import Tensor

NORMS = ("l1", "l2")


def distillation_loss(fused: Tensor, targets: Tensor, weights: Tensor, norm: str = "l1") -> Tensor:
    """sum_k w_k ||I_f - I_k||, the mean over the batch, a scalar.

    fused: (B, 3, H, W); targets: (B, K, 3, H, W); weights: (B, K), which sum to 1. norm: "l1", the mean of the absolute
    difference, or "l2", the mean of its square.

    The paper's norm has no index and no square. "l1" is the default because it is a norm, and because of what it
    makes of experts that disagree: at each pixel a weighted median of theirs, where "l2" makes the weighted mean,
    which is paler than any of them.
    """
    difference = fused[:, None] - targets
    distance = difference.abs() if norm == "l1" else difference.square()
    return (weights * distance.mean(dim=(2, 3, 4))).sum(dim=1).mean()
