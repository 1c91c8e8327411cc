"""The fine-tuning phase: task loss, and DRF's or a teacher's losses beside it."""

import pytorch_lightning as lightning
import torch
from torch import Tensor, nn

from tpf_model.network import TPFNetwork
from tpf_training.config.finetune import FinetuneConfig
from tpf_training.drf.decoupling import Decoupling
from tpf_training.engine.optimise import make_optimiser
from tpf_training.engine.pictures import Pictures
from tpf_training.freezing import freeze_first_blocks
from tpf_training.losses.box import boxes_at_peaks
from tpf_training.losses.task import task_loss
from tpf_training.sampling.sample import to_float
from tpf_training.teacher import Captured, Teacher

CROPS = ("template", "dynamic", "search")


class FinetuneModule(lightning.LightningModule):
    """`learner` is the tracker's network; the auxiliary branches and the teacher are left behind at its export."""

    def __init__(
        self, config: FinetuneConfig, learner: TPFNetwork, decoupling: Decoupling | None, teacher: Teacher | None
    ):
        super().__init__()
        self.config, self.learner, self.decoupling, self.teacher = config, learner, decoupling, teacher
        freeze_first_blocks(learner.encoder, config.frozen_blocks)
        for part, rate in _learners(config, learner):
            if rate == 0:
                part.requires_grad_(False)
        self.train()  # Lightning keeps the modes that it finds

    def train(self, mode: bool = True) -> "FinetuneModule":
        """A part that does not learn stays in eval mode: batch norms keep their statistics."""
        super().train(mode)
        for part, rate in _learners(self.config, self.learner):
            if rate == 0:
                part.eval()
        return self

    def configure_optimizers(self) -> dict:
        rates = self.config.optimiser
        auxiliary = [part for part in (self.decoupling, self.teacher) if part is not None]
        parts = _learners(self.config, self.learner) + [(part, rates.auxiliary) for part in auxiliary]
        return make_optimiser(parts, rates, self.trainer.estimated_stepping_batches)

    def training_step(self, batch: dict[str, Tensor], batch_index: int) -> Tensor:
        batch = to_float(batch, self.device)
        visible, thermal = ([batch[f"{crop}_{camera}"] for crop in CROPS] for camera in ("visible", "thermal"))
        fused = self._fuse(visible, thermal)
        with Captured(self.learner.encoder) as captured:
            features = self.learner.encode(*fused)
        prediction = self.learner.predict(features)
        loss, parts = task_loss(prediction, batch["box"])
        if self.decoupling is not None:
            losses = self.decoupling.losses(features, visible, thermal)
            loss = loss + self.config.drf.weight * sum(losses.values())
            parts |= losses
        if self.teacher is not None:
            parts["distillation"] = self.teacher(captured, fused)
            loss = loss + self.config.teacher.weight * parts["distillation"]
        parts["loss"] = loss
        self.log_dict({name: value.detach() for name, value in parts.items()}, prog_bar=True)
        if batch_index == 0:
            peaks = boxes_at_peaks(prediction).detach()
            template, search = fused[0].detach(), fused[2].detach()
            self.pictures = Pictures(visible[2], thermal[2], search, batch["box"], peaks, template)
        return loss

    def _fuse(self, visible: list[Tensor], thermal: list[Tensor]) -> list[Tensor]:
        """In float32, as in the tracker. A fusion that does not learn runs without a graph."""
        learns = any(parameter.requires_grad for parameter in self.learner.fusion.parameters())
        with torch.set_grad_enabled(learns), torch.autocast(self.device.type, enabled=False):
            return [self.learner.fuse(*pair) for pair in zip(visible, thermal)]


def _learners(config: FinetuneConfig, network: TPFNetwork) -> list[tuple[nn.Module, float]]:
    """The network's parts, each with its peak rate."""
    rates = config.optimiser
    return [(network.fusion, rates.fusion), (network.encoder, rates.encoder), (network.head, rates.head)]
