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
    """{template,dynamic,search}_visible: (B, 3, S, S) uint8, ..._thermal: (B, 1, S, S) uint8; box: (B, 4) float32, NaN
    without a target.

    They travel to the device as bytes: a twelfth (thermal) and a quarter (visible) of what the network takes, which
    `to_float` makes there.
    """
    boxes = [(math.nan,) * 4 if sample.box is None else sample.box for sample in samples]
    batch = {"box": torch.tensor(boxes, dtype=torch.float32)}
    for name in ("template", "dynamic", "search"):
        visible, thermal = (np.stack(images) for images in zip(*(getattr(sample, name) for sample in samples)))
        batch[f"{name}_visible"] = torch.from_numpy(visible).permute(0, 3, 1, 2)  # channels stay last in memory
        batch[f"{name}_thermal"] = torch.from_numpy(thermal)[:, None]
    return batch


def to_float(batch: dict[str, torch.Tensor], device: torch.device) -> dict[str, torch.Tensor]:
    """What `collate` made, as the network takes it, on `device`: images (B, 3, S, S) float32 in [0, 1], box as it was.

    Experts' images (`mad.sample`) keep a channel for each. The three channels of thermal are one memory: read only.
    ValueError names an image that is not uint8.
    """
    converted = {}
    for name, tensor in batch.items():
        moved = tensor.to(device, non_blocking=True)
        if name != "box":
            if moved.dtype != torch.uint8:
                raise ValueError(f"batch[{name!r}] is {moved.dtype}, must be uint8 as `collate` makes it")
            moved = moved.contiguous().float().div_(255)
            if not name.endswith("_experts"):
                moved = moved.expand(-1, 3, -1, -1)
        converted[name] = moved
    return converted
