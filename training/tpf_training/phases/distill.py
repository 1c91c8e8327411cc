"""The distillation phase, MAD: the fusion adapter learns from what several fusion networks make of the same pair."""

import pytorch_lightning as lightning
import torch
from torch import Tensor

from tpf_model.fusion import PixelFusionAdapter
from tpf_training.config.distill import DistillConfig
from tpf_training.engine.optimise import make_optimiser
from tpf_training.engine.pictures import Pictures
from tpf_training.losses.distillation import distillation_loss
from tpf_training.mad.targets import fused_targets
from tpf_training.mad.weighting import ExpertWeighting
from tpf_training.sampling.sample import to_float

CROPS = ("template", "search")


class DistillModule(lightning.LightningModule):
    """`learner` is the adapter; the auxiliary tracker in `weighting` is left behind."""

    def __init__(self, config: DistillConfig, learner: PixelFusionAdapter, weighting: ExpertWeighting):
        super().__init__()
        self.config, self.learner, self.weighting = config, learner, weighting

    def configure_optimizers(self) -> dict:
        rates = self.config.optimiser
        return make_optimiser([(self.learner, rates.fusion)], rates, self.trainer.estimated_stepping_batches)

    def training_step(self, batch: dict[str, Tensor], batch_index: int) -> Tensor:
        batch = to_float(batch, self.device)
        targets = [fused_targets(batch[f"{crop}_experts"], batch[f"{crop}_visible"]) for crop in CROPS]
        weights = self.weighting(*targets, batch["box"])
        with torch.autocast(self.device.type, enabled=False):
            fused = [self.learner(batch[f"{crop}_visible"], batch[f"{crop}_thermal"]) for crop in CROPS]
        losses = [distillation_loss(image, wanted, weights, self.config.norm) for image, wanted in zip(fused, targets)]
        loss = sum(losses) / len(losses)
        parts = {f"weight_{name}": weight for name, weight in zip(self.weighting.experts, weights.mean(dim=0))}
        self.log_dict({"loss": loss.detach(), **parts}, prog_bar=True)
        if batch_index == 0:
            search = (batch["search_visible"], batch["search_thermal"], fused[1].detach())
            self.pictures = Pictures(*search, truth=batch["box"])
        return loss
