"""One modality's auxiliary branch: an encoder like the tracker's for what the tracker does not need, and a decoder."""

from torch import nn

from tpf_model.backbone import VisionTransformer
from tpf_model.config import ModelConfig
from tpf_training.drf.decoder import Decoder


class AuxiliaryBranch(nn.Module):
    """`encoder` takes one modality's crops as the tracker's takes the fused ones, and gives as many features.

    `decoder` gives the search crop of that modality from the sum of the tracker's features and the encoder's. Only the
    search crop: it is what the head sees, so only its tokens have to be split into task-relevant and irrelevant ones;
    the last block's template tokens are read by nobody. None where nothing is reconstructed.
    """

    def __init__(self, config: ModelConfig, decoder_width: int, decoder_depth: int, reconstruction: bool):
        super().__init__()
        self.encoder = VisionTransformer(
            config.width, config.depth, config.heads, config.patch, config.template_tokens, config.search_tokens
        )
        self.decoder = None
        if reconstruction:
            cells = config.search_size // config.patch
            self.decoder = Decoder(config.width, cells, config.patch, decoder_width, decoder_depth)
