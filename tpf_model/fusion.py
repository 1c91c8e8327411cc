"""Fusion of a visible and a thermal image into one, at pixel level."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from tpf_model.config import ModelConfig
from tpf_model.fusion_native import native_fuse, runs_native
from tpf_model.vim import ViMBlock
from tpf_model.vim_triton import runs_triton, triton_block, triton_blocks, triton_joined_block

_WIDTH = 8  # channels per modality
_KERNEL = 5


class AdditionFusion(nn.Module):
    """The mean of both images; no parameters. visible, thermal: (B, 3, H, W) -> (B, 3, H, W)."""

    def forward(self, visible: Tensor, thermal: Tensor) -> Tensor:
        return (visible + thermal) / 2


class PixelFusionAdapter(nn.Module):
    """Task-driven pixel-level fusion (PFA). visible, thermal: (B, 3, H, W) in [0, 1] -> fused (B, 3, H, W).

    A convolution stem and a ViM block per modality, exchange of every second channel, a ViM block over the tokens of
    both (2 L), a ViM block over the channels of both (2 x 8), a decoding convolution. The decoder predicts what is
    added to the mean of both images and starts at zero, so an untrained adapter is `AdditionFusion` and a pretrained
    encoder behind it sees natural images from the first step. The output may leave [0, 1] a little: clamping it would
    stop the gradient there; clamp it for display only.

    token_stride: pixels per token along each side, 1, 2 or 4. Above 1 the stem has that stride and the decoder's
    output is pixel-shuffled. 14,307 parameters at stride 1. scan: see `selective_scan.resolve_backend`.
    """

    def __init__(self, token_stride: int = 1, scan: str = "auto"):
        super().__init__()
        if token_stride not in (1, 2, 4):
            raise ValueError(f"token_stride is {token_stride!r}, must be 1, 2 or 4")
        self.token_stride, self.scan = token_stride, scan
        self.visible_stem, self.thermal_stem = _stem(token_stride), _stem(token_stride)
        self.visible_block, self.thermal_block = ViMBlock(_WIDTH, scan=scan), ViMBlock(_WIDTH, scan=scan)
        self.token_block = ViMBlock(_WIDTH, scan=scan)
        self.channel_block = ViMBlock(2 * _WIDTH, scan=scan)
        self.decoder = nn.Conv2d(2 * _WIDTH, 3 * token_stride**2, _KERNEL, padding=_KERNEL // 2)
        nn.init.zeros_(self.decoder.weight)
        nn.init.zeros_(self.decoder.bias)

    def forward(self, visible: Tensor, thermal: Tensor) -> Tensor:
        if runs_native(self, visible, thermal):
            return native_fuse(self, visible, thermal)
        height, width = visible.shape[-2:]
        visible, thermal = _pad(visible, self.token_stride), _pad(thermal, self.token_stride)
        v, t = self.visible_stem(visible), self.thermal_stem(thermal)
        grid = v.shape[-2:]
        tokens = self._blocks(v.flatten(2).transpose(1, 2), t.flatten(2).transpose(1, 2))
        residual = self.decoder(tokens.transpose(1, 2).unflatten(2, grid))
        return _add_shuffled((visible + thermal) / 2, residual, self.token_stride)[..., :height, :width]

    def _blocks(self, v: Tensor, t: Tensor) -> Tensor:
        """Tokens of both images, (B, L, 8) each -> (B, L, 16)."""
        if runs_triton(self.visible_block, v):
            # Both modalities in one launch, which also swaps channels; nothing is joined or split in between.
            both = triton_blocks([self.visible_block, self.thermal_block], torch.stack([v, t], dim=1), swap=True)
            both = triton_block(self.token_block, both.flatten(1, 2)).unflatten(1, (2, -1))
            return triton_joined_block(self.channel_block, both)
        v, t = swap_channels(self.visible_block(v), self.thermal_block(t))
        v, t = self.token_block(torch.cat([v, t], dim=1)).chunk(2, dim=1)
        return self.channel_block(torch.cat([v, t], dim=2))


def make_fusion(config: ModelConfig, scan: str = "auto") -> nn.Module:
    """The fusion that `config` names; scan: see `PixelFusionAdapter`."""
    return AdditionFusion() if config.fusion == "addition" else PixelFusionAdapter(config.token_stride, scan)


def swap_channels(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """Exchange every second channel (last dimension) of two equally shaped tensors."""
    keep = torch.arange(a.shape[-1], device=a.device) % 2 == 0
    return torch.where(keep, a, b), torch.where(keep, b, a)


def _stem(stride: int) -> nn.Conv2d:
    # With this padding each token's window covers the stride x stride pixels that the decoder writes for it.
    return nn.Conv2d(3, _WIDTH, _KERNEL, stride=stride, padding=(_KERNEL + 1 - stride) // 2)


def _add_shuffled(image: Tensor, residual: Tensor, stride: int) -> Tensor:
    """image + pixel_shuffle(residual, stride), in one pass. (B, 3, H, W), (B, 3 stride^2, H / stride, W / stride)."""
    cells = image.unflatten(3, (-1, stride)).unflatten(2, (-1, stride))  # (B, 3, h, stride, w, stride)
    shuffled = residual.unflatten(1, (-1, stride, stride)).permute(0, 1, 4, 2, 5, 3)
    return (cells + shuffled).flatten(4, 5).flatten(2, 3)


def _pad(image: Tensor, multiple: int) -> Tensor:
    """Repeat the last row and column until both sides are multiples of `multiple`."""
    height, width = image.shape[-2:]
    missing = (0, -width % multiple, 0, -height % multiple)
    return functional.pad(image, missing, mode="replicate") if any(missing) else image
