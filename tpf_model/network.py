"""The assembled network: pixel-level fusion, one-stream encoder, centre head."""

import torch
from torch import Tensor, nn

from tpf_model.backbone import VisionTransformer
from tpf_model.config import ModelConfig
from tpf_model.fusion import make_fusion
from tpf_model.head import CentreHead, Prediction

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


class TPFNetwork(nn.Module):
    """Fuse each crop once with `fuse`, then predict with `forward` on fused crops: a template is fused only once.

    `forward` is `encode`, then `predict`; training also learns from the features between them.
    """

    def __init__(self, config: ModelConfig, scan: str = "auto"):
        super().__init__()
        self.config = config
        self.fusion = make_fusion(config, scan)
        self.encoder = VisionTransformer(
            config.width, config.depth, config.heads, config.patch, config.template_tokens, config.search_tokens
        )
        self.head = CentreHead(config.width, config.head_channels)
        self.register_buffer("mean", torch.tensor(IMAGENET_MEAN).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(IMAGENET_STD).view(1, 3, 1, 1), persistent=False)

    def fuse(self, visible: Tensor, thermal: Tensor) -> Tensor:
        """(B, 3, H, W) visible RGB and thermal (its channel replicated), both in [0, 1] -> fused (B, 3, H, W)."""
        return self.fusion(visible, thermal)

    def forward(self, template: Tensor, dynamic: Tensor, search: Tensor) -> Prediction:
        """Fused crops (B, 3, T, T), (B, 3, T, T), (B, 3, S, S), in [0, 1] up to the adapter's overshoot."""
        return self.predict(self.encode(template, dynamic, search))

    def encode(self, template: Tensor, dynamic: Tensor, search: Tensor) -> Tensor:
        """Fused crops as `forward` takes them -> the search's features (B, search_tokens, C), rows first."""
        return self.encode_search(self.embed_template(template), self.embed_template(dynamic), search)

    def embed_template(self, template: Tensor) -> Tensor:
        """A fused template (B, 3, T, T) -> its tokens (B, template_tokens, C): once a template, not once a frame."""
        return self.encoder.embed_template(self._normalise(template))

    def encode_search(self, template: Tensor, dynamic: Tensor, search: Tensor) -> Tensor:
        """As `encode`, from the tokens of both templates and the fused search crop."""
        return self.encoder.encode(template, dynamic, self._normalise(search))

    def predict(self, features: Tensor) -> Prediction:
        """The head's maps of features as `encode` gives them."""
        batch, tokens, width = features.shape
        cells = self.config.search_size // self.config.patch
        return self.head(features.transpose(1, 2).reshape(batch, width, cells, cells))

    def _normalise(self, fused: Tensor) -> Tensor:
        return (fused - self.mean) / self.std


def count_parameters(network: TPFNetwork) -> dict[str, int]:
    """Number of parameters of each part, and in total."""
    parts = {"pfa": network.fusion, "encoder": network.encoder, "head": network.head}
    counts = {name: sum(p.numel() for p in part.parameters()) for name, part in parts.items()}
    return counts | {"total": sum(counts.values())}
