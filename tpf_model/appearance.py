"""What one target looks like, learnt while it is tracked: a filter that says where it is, and one how large."""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from tpf_model.boxes import Box
from tpf_model.correlation_filter import CorrelationFilter, first_filter, no_preference, spectrum_of
from tpf_model.scale_filter import ScaleFilter, first_scale_filter, no_scale, sizes_of


@dataclass(frozen=True)
class Appearance:
    """sides: the target's width and height as far as they are known, in fractions of the crop to be searched, (2,)."""

    correlation_filter: CorrelationFilter
    scale_filter: ScaleFilter
    sides: Tensor

    def with_sides(self, width: float, height: float) -> "Appearance":
        return replace(self, sides=torch.tensor((width, height)))

    def learn(self, spectrum: Tensor, sizes: Tensor, box: Tensor, rate: Tensor) -> "Appearance":
        """What it looks like after one more crop, which counts `rate` (), 0..1, against all before it.

        spectrum: `spectrum_of` the crop. sizes: `sizes_of` it, around the present sides. box: (4,) float64, of the
        target, in fractions of it. On a GPU nothing here waits for it.
        """
        scale = (box[2:].prod() / self.sides.prod()).sqrt()
        place = self.correlation_filter.learn(spectrum, box, rate)
        return replace(self, correlation_filter=place, scale_filter=self.scale_filter.learn(sizes, scale, rate))

    def clone(self) -> "Appearance":
        return Appearance(self.correlation_filter.clone(), self.scale_filter.clone(), self.sides.clone())

    def copy_(self, other: "Appearance") -> None:
        """Take over the values of `other`, in place."""
        self.correlation_filter.copy_(other.correlation_filter)
        self.scale_filter.copy_(other.scale_filter)
        self.sides.copy_(other.sides, non_blocking=True)


def first_appearance(fused: Tensor, box: Box) -> Appearance:
    """Of the target in `box`, in fractions of the fused crop (3, S, S)."""
    place, sides = torch.tensor(box), torch.tensor(box[2:])
    scale_filter = first_scale_filter(sizes_of(fused, place, sides))
    return Appearance(first_filter(spectrum_of(fused), torch.tensor(box, dtype=torch.float64)), scale_filter, sides)


def no_appearance(size: int, device: torch.device) -> Appearance:
    """Nothing learnt, for crops of `size` pixels: no place is preferred, no size."""
    return Appearance(no_preference(size, device), no_scale(device), torch.ones(2, device=device))
