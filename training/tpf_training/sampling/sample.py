"""One training sample and batches of them."""

import math
from dataclasses import dataclass

import numpy as np
import torch

Pair = tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True)
class Sample:
    """template, dynamic, search: pairs of visible (S, S, 3) uint8 RGB and thermal (S, S) uint8, S = 128, 128, 256.

    box: the target in the search crop, (x, y, w, h) in fractions of the crop; None where it is not in there.
    source: where it came from.
    """

    template: Pair
    dynamic: Pair
    search: Pair
    box: tuple[float, float, float, float] | None
    source: str


def collate(samples: list[Sample]) -> dict[str, torch.Tensor]:
    """{template,dynamic,search}_{visible,thermal}: (B, 3, S, S) float32 in [0, 1]; box: (B, 4) float32, NaN without a target.

    The three channels of thermal are one memory: read only.
    """
    boxes = [(math.nan,) * 4 if sample.box is None else sample.box for sample in samples]
    batch = {"box": torch.tensor(boxes, dtype=torch.float32)}
    for name in ("template", "dynamic", "search"):
        visible, thermal = (np.stack(images) for images in zip(*(getattr(sample, name) for sample in samples)))
        batch[f"{name}_visible"] = torch.from_numpy(visible).permute(0, 3, 1, 2).contiguous().float().div_(255)
        batch[f"{name}_thermal"] = torch.from_numpy(thermal)[:, None].float().div_(255).expand(-1, 3, -1, -1)
    return batch
