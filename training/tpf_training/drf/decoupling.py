"""Decoupled representation fine-tuning (DRF): what it adds to the tracker's task loss."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from tpf_model.backbone import VisionTransformer
from tpf_model.config import ModelConfig
from tpf_model.network import IMAGENET_MEAN, IMAGENET_STD
from tpf_training.drf.auxiliary_branch import AuxiliaryBranch
from tpf_training.freezing import freeze_first_blocks
from tpf_training.losses.reconstruction import reconstruction_loss
from tpf_training.losses.repulsion import repulsion_loss


class Decoupling(nn.Module):
    """The auxiliary branches of both modalities, needed while training only, and their losses.

    visible, thermal: which modalities have a branch; repulsion, reconstruction: which losses there are; margin: the
    cosine that repulsion tolerates; frozen_blocks: first blocks of the auxiliary encoders that do not learn;
    decoder_width and decoder_depth: as published. For `base`, 290.2 M parameters together with the tracker's.
    """

    def __init__(
        self,
        config: ModelConfig,
        *,
        visible: bool = True,
        thermal: bool = True,
        repulsion: bool = True,
        reconstruction: bool = True,
        margin: float = 0.0,
        frozen_blocks: int = 0,
        decoder_width: int = 512,
        decoder_depth: int = 4,
    ):
        super().__init__()
        self.repulsion, self.reconstruction, self.margin = repulsion, reconstruction, margin
        modalities = [name for name, wanted in (("visible", visible), ("thermal", thermal)) if wanted]
        self.branches = nn.ModuleDict(
            {name: AuxiliaryBranch(config, decoder_width, decoder_depth, reconstruction) for name in modalities}
        )
        for branch in self.branches.values():
            freeze_first_blocks(branch.encoder, frozen_blocks)
        self.register_buffer("mean", torch.tensor(IMAGENET_MEAN).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(IMAGENET_STD).view(1, 3, 1, 1), persistent=False)

    def start_from(self, encoder: VisionTransformer) -> None:
        """Copy the tracker's encoder, once its initial weights are loaded, into both auxiliary ones."""
        for branch in self.branches.values():
            branch.encoder.load_state_dict(encoder.state_dict())

    def losses(
        self, task_features: Tensor, visible_crops: Sequence[Tensor], thermal_crops: Sequence[Tensor]
    ) -> dict[str, Tensor]:
        """Scalars `repulsion_visible`, `reconstruction_visible`, `repulsion_thermal`, `reconstruction_thermal`.

        task_features: `TPFNetwork.encode` of the fused crops, (B, L, C); crops: a modality's template, dynamic
        template and search crop, (B, 3, T, T), (B, 3, T, T), (B, 3, S, S) in [0, 1]. L_rep + L_rec is the sum of all
        values; the caller weighs it with lambda. A loss or modality that is switched off is not in the dict.

        Both losses teach the task features, too, and the fusion through them: repulsion turns both sets of features
        away from each other, reconstruction keeps them complete together. What is reconstructed is the image as the
        encoder sees it, ImageNet-normalised: of raw pixels the error would be twenty times as small, next to nothing
        beside the task loss; MAE's normalisation of each patch would take away brightness and contrast, which are
        just what task-irrelevant features are to take up.
        """
        losses, crops = {}, {"visible": visible_crops, "thermal": thermal_crops}
        for modality, branch in self.branches.items():
            images = [(crop - self.mean) / self.std for crop in crops[modality]]
            irrelevant = branch.encoder(*images)
            if self.repulsion:
                losses[f"repulsion_{modality}"] = repulsion_loss(task_features, irrelevant, self.margin)
            if self.reconstruction:
                reconstruction = branch.decoder(task_features + irrelevant)
                losses[f"reconstruction_{modality}"] = reconstruction_loss(reconstruction, images[2])
        return losses
