"""The repulsion of two sets of features (DRF): task-relevant and task-irrelevant ones are to point elsewhere."""

from torch import Tensor
from torch.nn import functional


def repulsion_loss(task: Tensor, irrelevant: Tensor, margin: float = 0.0) -> Tensor:
    """Mean over all tokens of max(0, cos(task, irrelevant) - margin); both (B, L, C), the result a scalar >= 0.

    Gradients go to both. Two parallel tokens are a saddle point: the cosine's gradient is zero there.
    """
    cosine = functional.cosine_similarity(task.float(), irrelevant.float(), dim=-1)
    return (cosine - margin).clamp(min=0).mean()
