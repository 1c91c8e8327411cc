"""The fine-tuning phase: task loss, and DRF's or a teacher's losses beside it."""

import pytorch_lightning as lightning
import torch
from torch import Tensor

from tpf_model.network import TPFNetwork
from tpf_training.config.finetune import FinetuneConfig
from tpf_training.drf.decoupling import Decoupling
from tpf_training.engine.optimise import make_optimiser
from tpf_training.engine.pictures import Pictures
from tpf_training.freezing import freeze_first_blocks
from tpf_training.losses.box import decode_boxes
from tpf_training.losses.task import task_loss
from tpf_training.sampling.sample import to_float
from tpf_training.teacher import Captured, Teacher

CROPS = ("template", "dynamic", "search")


class FinetuneModule(lightning.LightningModule):
    """`learner` is the tracker's network; the auxiliary branches and the teacher are left behind when it is exported."""

    def __init__(
        self, config: FinetuneConfig, learner: TPFNetwork, decoupling: Decoupling | None, teacher: Teacher | None
    ):
        super().__init__()
        self.config, self.learner, self.decoupling, self.teacher = config, learner, decoupling, teacher
        _freeze(config, learner)

    def configure_optimizers(self) -> dict:
        rates = self.config.optimiser
        auxiliary = [part for part in (self.decoupling, self.teacher) if part is not None]
        parts = [(self.learner.fusion, rates.fusion), (self.learner.encoder, rates.encoder), (self.learner.head, rates.head)]
        parts += [(part, rates.auxiliary) for part in auxiliary]
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
        self.log_dict({name: value.detach() for name, value in parts.items()}, prog_bar=True)
        if batch_index == 0:
            peaks = _boxes_at_peaks(prediction.score.detach(), decode_boxes(prediction).detach())
            self.pictures = Pictures(visible[2], thermal[2], fused[2].detach(), batch["box"], peaks, template=fused[0].detach())
        return loss

    def _fuse(self, visible: list[Tensor], thermal: list[Tensor]) -> list[Tensor]:
        """In float32, as in the tracker. A fusion that does not learn runs without a graph."""
        learns = any(parameter.requires_grad for parameter in self.learner.fusion.parameters())
        with torch.set_grad_enabled(learns), torch.autocast(self.device.type, enabled=False):
            return [self.learner.fuse(*pair) for pair in zip(visible, thermal)]


def _boxes_at_peaks(score: Tensor, boxes: Tensor) -> Tensor:
    """The box (B, 4) that the best cell of each score map (B, 1, G, G) predicts, of `boxes` (B, 4, G, G)."""
    best = score.flatten(1).argmax(dim=1)
    return boxes.flatten(2)[torch.arange(len(boxes)), :, best]


def _freeze(config: FinetuneConfig, network: TPFNetwork) -> None:
    rates = config.optimiser
    freeze_first_blocks(network.encoder, config.frozen_blocks)
    for part, rate in ((network.fusion, rates.fusion), (network.encoder, rates.encoder), (network.head, rates.head)):
        if rate == 0:
            part.requires_grad_(False)
