"""An image from its tokens: the decoder of a masked autoencoder (He et al., "MAE", CVPR 2022), with no token masked."""

from timm.layers import build_sincos2d_pos_embed
from torch import Tensor, nn
from torch.nn import functional

from tpf_model.backbone import Block

_HEAD_WIDTH = 32  # MAE's: 16 heads of 512 channels


class Decoder(nn.Module):
    """(B, cells^2, C) tokens, rows first -> the image that they stand for, (B, 3, cells * patch, cells * patch).

    features: C; width: channels of the decoder's own `depth` blocks, a multiple of 32; patch: pixels.
    """

    def __init__(self, features: int, cells: int, patch: int, width: int, depth: int):
        super().__init__()
        self.cells, self.patch = cells, patch
        self.embed = nn.Linear(features, width)
        # Fixed, as MAE's; with learnt ones, two branches would have more parameters than published.
        self.register_buffer("positions", build_sincos2d_pos_embed([cells, cells], width)[None], persistent=False)
        self.blocks = nn.ModuleList(Block(width, width // _HEAD_WIDTH) for _ in range(depth))
        self.norm = nn.LayerNorm(width, eps=1e-6)
        self.pixels = nn.Linear(width, 3 * patch**2)
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.xavier_uniform_(module.weight)
                nn.init.zeros_(module.bias)

    def forward(self, features: Tensor) -> Tensor:
        x = self.embed(features) + self.positions
        for block in self.blocks:
            x = block(x)
        patches = self.pixels(self.norm(x))  # (B, cells^2, 3 * patch^2)
        return functional.pixel_shuffle(patches.transpose(1, 2).unflatten(2, (self.cells, self.cells)), self.patch)
