"""An expert that computes: a function of tensors, with its images converted and its output checked."""

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from torch import Tensor

from tpf_training.mad.experts.expert import ExpertError

# How far an output may leave [0, 1]: networks overshoot a little, but -1..1 or 0..255 is another convention.
TOLERANCE = 0.5


@dataclass(frozen=True)
class TensorExpert:
    """See `Expert`.

    run: visible luminance and thermal, each (1, 1, H, W) float32 in [0, 1] on `device` -> fused luminance of that shape
    and range, clipped here where it overshoots. Luminance is BT.601's 0.299 R + 0.587 G + 0.114 B.
    """

    name: str
    fingerprint: str
    run: Callable[[Tensor, Tensor], Tensor]
    device: torch.device = torch.device("cpu")

    def fuse(self, visible: np.ndarray, thermal: np.ndarray, name: str) -> np.ndarray:
        luminance = cv2.cvtColor(visible, cv2.COLOR_RGB2GRAY)
        with torch.inference_mode():
            fused = self.run(*(self._tensor(image) for image in (luminance, thermal)))
        where = f"expert {self.name!r}, pair {name!r}"
        if not isinstance(fused, Tensor) or fused.shape != (1, 1, *thermal.shape):
            shape = tuple(fused.shape) if isinstance(fused, Tensor) else type(fused).__name__
            raise ExpertError(f"{where}: the output is {shape}, must be {(1, 1, *thermal.shape)}")
        low, high = (float(v) for v in fused.aminmax())
        if not -TOLERANCE <= low <= high <= 1 + TOLERANCE:  # also where one is not a number
            raise ExpertError(f"{where}: the output ranges from {low:g} to {high:g}, must be in [0, 1]")
        return (fused[0, 0].clamp(0, 1) * 255).round().byte().cpu().numpy()

    def _tensor(self, image: np.ndarray) -> Tensor:
        return torch.from_numpy(image).to(self.device)[None, None].float().div(255)
