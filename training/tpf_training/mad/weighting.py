"""How much each expert counts: by how well a tracker does on its fused images, all alike, or one alone."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from tpf_model.network import TPFNetwork
from tpf_training.checks import check_name
from tpf_training.losses.box import box_overlaps, boxes_at_peaks

ADAPTIVE, EQUAL = "adaptive", "equal"


class ExpertWeighting(nn.Module):
    """Weights of the experts for each sample, (B, K), which sum to 1.

    mode: "adaptive", the softmax over experts of the IoU that `tracker` reaches on each one's images, over
    `temperature` (1 as published: weights then differ by a factor of e at most; smaller ones tell experts apart
    more); "equal", 1 / K each; or the name of one of `experts`, which then has all the weight.

    tracker: the auxiliary single-stream tracker, only for "adaptive". It gets images that are fused already, so its own
    fusion is not used. It is frozen, and stays in eval mode.
    """

    def __init__(
        self,
        experts: Sequence[str],
        mode: str = ADAPTIVE,
        tracker: TPFNetwork | None = None,
        temperature: float = 1.0,
    ):
        super().__init__()
        self.experts, self.mode, self.temperature = list(experts), mode, temperature
        check_name("weighting", mode, (ADAPTIVE, EQUAL, *self.experts))
        if (mode == ADAPTIVE) != (tracker is not None):
            raise ValueError(f"weighting {mode!r} {'needs an' if tracker is None else 'uses no'} auxiliary tracker")
        self.tracker = tracker.requires_grad_(False).eval() if tracker is not None else None

    def train(self, mode: bool = True) -> "ExpertWeighting":
        """Nothing here trains: batch norms of the tracker keep their statistics."""
        return super().train(False)

    @torch.no_grad()
    def forward(self, template: Tensor, search: Tensor, boxes: Tensor) -> Tensor:
        """Fused images of K experts, (B, K, 3, T, T) and (B, K, 3, S, S), and true boxes (B, 4) -> weights (B, K).

        boxes: x y w h in fractions of the search crop.
        """
        batch, count = search.shape[:2]
        if self.mode == ADAPTIVE:
            return torch.softmax(tracker_overlaps(self.tracker, template, search, boxes) / self.temperature, dim=1)
        if self.mode == EQUAL:
            return search.new_full((batch, count), 1 / count)
        weights = search.new_zeros(batch, count)
        weights[:, self.experts.index(self.mode)] = 1
        return weights


def tracker_overlaps(tracker: TPFNetwork, template: Tensor, search: Tensor, boxes: Tensor) -> Tensor:
    """The IoU (B, K) of the box at the peak of `tracker`'s score with the true `boxes`, on each expert's fused images.

    Arguments as in `ExpertWeighting.forward`. All experts of all samples go through the tracker as one batch.
    """
    batch, count = search.shape[:2]
    template, search = template.flatten(0, 1), search.flatten(0, 1)
    prediction = tracker(template, template, search)
    overlap, _ = box_overlaps(boxes_at_peaks(prediction), boxes.repeat_interleave(count, dim=0))
    return overlap.view(batch, count)
