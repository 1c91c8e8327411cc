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
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)

    def forward(self, x: Tensor, keep: int = 0) -> Tensor:
        batch, length, width = x.shape
        qkv = self.qkv(x).view(batch, length, 3, self.heads, width // self.heads)
        query, key, value = qkv.permute(2, 0, 3, 1, 4)
        # The usual scale, spelt out: an export has it as a constant then, not as a computation over shapes.
        scale = (width // self.heads) ** -0.5
        out = attend(query[:, :, -keep:], key, value, scale)
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
        # PyTorch's fused kernel is slower than in float32 there (without AMX). Plain products take little more than
        # half as long, but round what the softmax is of, and the more the larger it is. What all keys have in common
        # makes it large and changes nothing (SageAttention, Zhang et al. 2024).
        own = key - key.mean(dim=-2, keepdim=True)
        return (query * scale @ own.transpose(-2, -1)).softmax(dim=-1) @ value
    return F.scaled_dot_product_attention(query, key, value, scale=scale)


def _init_linear(module: nn.Module) -> None:
    if isinstance(module, nn.Linear):
        nn.init.trunc_normal_(module.weight, std=0.02)
        nn.init.zeros_(module.bias)
