"""The reconstruction of an image from its features (DRF)."""

from torch import Tensor
from torch.nn import functional


def reconstruction_loss(reconstruction: Tensor, image: Tensor) -> Tensor:
    """Mean squared error over all pixels of two images (B, 3, S, S); every patch counts the same. A scalar."""
    return functional.mse_loss(reconstruction.float(), image.float())
