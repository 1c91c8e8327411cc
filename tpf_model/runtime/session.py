"""What every way of running the network offers to the tracker."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from torch import Tensor

from tpf_model.config import ModelConfig


@dataclass(frozen=True)
class SessionInfo:
    """What actually runs, for logs, diagnostics and `tpf info`.

    scan: the selective scan's backend, "none" where the fusion has no scan. precision: float32, bfloat16 or float16 of
    the encoder and the head; fusion is always float32. weights: their provenance. parameters: counts by part ("pfa",
    "encoder", "head", "total").
    """

    model: str
    runtime: str
    scan: str
    precision: str
    device: str
    weights: dict
    parameters: dict[str, int]


class TPFSession(Protocol):
    """One network, ready to run. For one thread at a time.

    The same inputs give the same outputs, bit by bit, on the same machine with the same number of threads; another
    thread count, device or precision changes the last digits.
    """

    config: ModelConfig
    info: SessionInfo

    def fuse(self, visible: np.ndarray, thermal: np.ndarray) -> Tensor:
        """visible (H, W, 3) uint8 RGB and thermal (H, W) uint8, aligned, of any size.

        Returns the fused image, (3, H, W) float32 RGB, about [0, 1], on the session's device.
        """

    def predict(self, template: Tensor, dynamic: Tensor, search: Tensor) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Two fused templates and a fused search crop, as `fuse` returns them, to the head's maps (see `head.py`).

        Returns score (G, G), size (2, G, G) and offset (2, G, G), float32.
        """


def fused_to_image(fused: Tensor) -> np.ndarray:
    """A fused image (3, H, W) as `TPFSession.fuse` returns it -> (H, W, 3) uint8 RGB."""
    return (fused.clamp(0, 1) * 255).round().byte().permute(1, 2, 0).cpu().numpy()
