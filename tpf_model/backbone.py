"""The one-stream encoder: a plain Vision Transformer over the tokens of several images at once.

Parameter names are timm's, so timm, DINOv2, MAE and DropMAE checkpoints load as they are (position embeddings aside:
they are fixed buffers here, one per image size, because the published parameter count leaves them out).
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Attention(nn.Module):
    """Multi-head self-attention, (B, L, C) -> (B, L, C), or, of the last `keep` tokens only, (B, keep, C)."""

    def __init__(self, width: int, heads: int):
        super().__init__()
        self.heads = heads
        self.scale = (width // heads) ** -0.5
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)

    @torch.no_grad()
    def fold(self, norm: nn.LayerNorm) -> None:
        """Make the scale a part of the queries, and take from all keys what the biases give to each of them.

        norm: what the inputs come from. The softmax is the same, of smaller products, which are rounded less.
        """
        weight, bias = self.qkv.weight.view(3, *self.proj.weight.shape), self.qkv.bias.view(3, -1)
        weight[0] *= self.scale
        bias[0] *= self.scale
        bias[1] = -weight[1] @ norm.bias
        self.scale = 1.0

    def forward(self, x: Tensor, keep: int = 0) -> Tensor:
        batch, length, width = x.shape
        qkv = self.qkv(x).view(batch, length, 3, self.heads, width // self.heads)
        query, key, value = qkv.permute(2, 0, 3, 1, 4)
        out = attend(query[:, :, -keep:], key, value, self.scale)
        return self.proj(out.transpose(1, 2).flatten(2))


class Mlp(nn.Module):
    """Two linear layers with a GELU between them, four times as wide inside."""

    def __init__(self, width: int):
        super().__init__()
        self.fc1 = nn.Linear(width, 4 * width)
        self.fc2 = nn.Linear(4 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(F.gelu(self.fc1(x)))


class Block(nn.Module):
    """Pre-norm transformer block, (B, L, C) -> (B, L, C), or, of the last `keep` tokens only, (B, keep, C)."""

    def __init__(self, width: int, heads: int):
        super().__init__()
        self.norm1 = nn.LayerNorm(width, eps=1e-6)
        self.attn = Attention(width, heads)
        self.norm2 = nn.LayerNorm(width, eps=1e-6)
        self.mlp = Mlp(width)

    def forward(self, x: Tensor, keep: int = 0) -> Tensor:
        x = x[:, -keep:] + self.attn(self.norm1(x), keep)
        return x + self.mlp(self.norm2(x))


class PatchEmbed(nn.Module):
    """Cut (B, 3, S, S) into patches and project each: (B, (S / patch)^2, C), rows first."""

    def __init__(self, width: int, patch: int):
        super().__init__()
        self.proj = nn.Conv2d(3, width, patch, stride=patch)

    def forward(self, image: Tensor) -> Tensor:
        return self.proj(image).flatten(2).transpose(1, 2)


class PatchProduct(nn.Module):
    """The same function as a `PatchEmbed`, as a matrix product, which takes a CPU about two thirds of the time."""

    def __init__(self, embed: PatchEmbed):
        super().__init__()
        self.patch = embed.proj.stride[0]
        width = embed.proj.out_channels
        self.proj = nn.utils.skip_init(nn.Linear, embed.proj.weight[0].numel(), width)
        self.proj.weight, self.proj.bias = nn.Parameter(embed.proj.weight.flatten(1)), embed.proj.bias

    def forward(self, image: Tensor) -> Tensor:
        batch, channels, side, _ = image.shape
        cells = side // self.patch
        # pixel_unshuffle would do the first half of this, in several times the time of all of it.
        patches = image.reshape(batch, channels, cells, self.patch, cells, self.patch).permute(0, 2, 4, 1, 3, 5)
        return self.proj(patches.flatten(3).flatten(1, 2))


class VisionTransformer(nn.Module):
    """ViT over [class | template z0 | dynamic template zd | search x] tokens.

    width C, depth in blocks, heads; template_tokens and search_tokens are token counts of one image of each kind.
    """

    def __init__(self, width: int, depth: int, heads: int, patch: int, template_tokens: int, search_tokens: int):
        super().__init__()
        self.patch_embed = PatchEmbed(width, patch)
        self.cls_token = nn.Parameter(torch.zeros(1, 1, width))
        self.register_buffer("pos_template", torch.zeros(1, template_tokens, width))
        self.register_buffer("pos_search", torch.zeros(1, search_tokens, width))
        self.blocks = nn.ModuleList(Block(width, heads) for _ in range(depth))
        self.norm = nn.LayerNorm(width, eps=1e-6)
        self.apply(_init_linear)
        for buffer in (self.cls_token, self.pos_template, self.pos_search):
            nn.init.trunc_normal_(buffer, std=0.02)

    def forward(self, template: Tensor, dynamic: Tensor, search: Tensor) -> Tensor:
        """Normalised images (B, 3, T, T), (B, 3, T, T), (B, 3, S, S) -> the search's features (B, search_tokens, C)."""
        return self.encode(self.embed_template(template), self.embed_template(dynamic), search)

    def fold(self) -> None:
        """Make the encoder faster without changing its function, for inference."""
        self.patch_embed = PatchProduct(self.patch_embed)
        for block in self.blocks:
            block.attn.fold(block.norm1)

    def embed_template(self, template: Tensor) -> Tensor:
        """A normalised template (B, 3, T, T) -> its tokens (B, template_tokens, C), which serve every later frame."""
        return self.patch_embed(template) + self.pos_template

    def encode(self, template: Tensor, dynamic: Tensor, search: Tensor) -> Tensor:
        """As `forward`, from the tokens of both templates and the normalised search image."""
        search = self.patch_embed(search) + self.pos_search
        x = torch.cat([self.cls_token.expand(search.shape[0], -1, -1), template, dynamic, search], dim=1)
        for number, block in enumerate(self.blocks, 1):
            # Of the last block's tokens only the search's are looked at.
            x = block(x, keep=search.shape[1] if number == len(self.blocks) else 0)
        return self.norm(x[:, -search.shape[1] :])


def attend(query: Tensor, key: Tensor, value: Tensor, scale: float) -> Tensor:
    """Scaled dot product attention of (B, heads, L, C) queries over as many keys and values, of one type."""
    if query.dtype is torch.bfloat16 and query.device.type == "cpu":
        # PyTorch's fused kernel is slower than in float32 there (without AMX), and its gradient slower still. Plain
        # products take little more than half as long, but round what the softmax is of: only where that is small, see
        # `Attention.fold`. While learning it is made so here: what all keys have in common does not change a softmax.
        if query.requires_grad:
            query, key, scale = query * scale, key - key.mean(dim=-2, keepdim=True), 1.0
        if scale == 1:
            return (query @ key.transpose(-2, -1)).softmax(dim=-1) @ value
    return F.scaled_dot_product_attention(query, key, value, scale=scale)


def _init_linear(module: nn.Module) -> None:
    if isinstance(module, nn.Linear):
        nn.init.trunc_normal_(module.weight, std=0.02)
        nn.init.zeros_(module.bias)
