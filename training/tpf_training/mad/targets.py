"""What the adapter's output is to look like: an expert's luminance in the visible image's colours."""

import torch
from torch import Tensor

# ITU-R BT.601, that of JPEG and of OpenCV's grey images: Y = 0.299 R + 0.587 G + 0.114 B.
LUMINANCE = (0.299, 0.587, 0.114)


def fused_targets(experts: Tensor, visible: Tensor) -> Tensor:
    """Experts' luminance (B, K, H, W) with the chroma of visible (B, 3, H, W) -> RGB (B, K, 3, H, W); all in [0, 1].

    In YCbCr (full range, as in JPEG) Y is replaced by the expert's and Cb and Cr are kept. As they depend on B - Y and
    R - Y alone, that adds the luminances' difference to each channel. What leaves [0, 1] is clipped.
    """
    weights = torch.tensor(LUMINANCE, dtype=visible.dtype, device=visible.device).view(1, 3, 1, 1)
    difference = experts - (visible * weights).sum(dim=1, keepdim=True)
    return (visible[:, None] + difference[:, :, None]).clamp(0, 1)
