"""Knowledge distillation: a student's encoder learns to say what a larger trained network's encoder says."""

from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

from tpf_model.backbone import VisionTransformer
from tpf_model.network import TPFNetwork
from tpf_model.weights import WeightsError, load_network


class Teacher(nn.Module):
    """A frozen network, and the projections that compare a student's encoder with its own, halfway and at the end.

    `forward` gives the distillation loss. The projections learn with the student and are of no use afterwards.
    """

    def __init__(self, weights: Path, student: TPFNetwork):
        super().__init__()
        network, _ = load_network(weights=weights)
        self.network = network.requires_grad_(False)
        ours, theirs = student.config, network.config
        if any(getattr(ours, key) != getattr(theirs, key) for key in ("template_size", "search_size", "patch")):
            raise WeightsError(f"{weights}: {theirs.name} cannot teach {ours.name}: their tokens are of other patches")
        self.projections = nn.ModuleList(nn.Linear(ours.width, theirs.width) for _ in range(2))

    def train(self, mode: bool = True) -> "Teacher":
        """Only the projections train: batch norms of the network keep their statistics."""
        super().train(mode)
        self.network.eval()
        return self

    def forward(self, captured: "Captured", images: list[Tensor]) -> Tensor:
        """captured: the student's tokens of this batch; images: the fused template, dynamic template and search crop.

        The mean over both depths of 1 - cos(projected student token, teacher's token).
        """
        theirs = Captured(self.network.encoder)
        with torch.no_grad(), theirs:
            self.network.encode(*images)
        losses = [
            1 - functional.cosine_similarity(project(ours).float(), wanted.float(), dim=-1).mean()
            for project, ours, wanted in zip(self.projections, captured.tokens, theirs.tokens)
        ]
        return sum(losses) / len(losses)


class Captured:
    """While entered, keeps what an encoder gives: `tokens` are those of its middle block, and its normalised output."""

    def __init__(self, encoder: VisionTransformer):
        self._modules = encoder.blocks[len(encoder.blocks) // 2 - 1], encoder.norm
        self.tokens: list[Tensor] = []

    def __enter__(self) -> "Captured":
        self.tokens = []
        self._handles = [m.register_forward_hook(lambda _, __, out: self.tokens.append(out)) for m in self._modules]
        return self

    def __exit__(self, *_) -> None:
        for handle in self._handles:
            handle.remove()
