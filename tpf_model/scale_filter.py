"""A discriminative scale filter: how much the target has grown or shrunk, seen in its image's detail.

The head's idea of a size leans towards that of most boxes it was trained with, a quarter of the searched region's side:
a target shown a tenth larger it takes for a few percent larger. As each box is the next region's scale, its errors add
up. The filter compares the target with itself instead (Danelljan et al., "Discriminative Scale Space
Tracking", 2017): its image in sizes around the right one is described, and a correlation filter over these sizes is
learnt whose response is best at the right one.
"""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from tpf_model.features import describe, halved

_SIZES, _STEP = 13, 1.04  # sizes that are compared, and each one's ratio to the next smaller one
_SIDE, _CELL = 32, 4  # pixels of a side that the target's image is brought to, and of a cell's
_DEVIATION = 1.0  # steps of the wanted response, a Gaussian
_RIDGE = 0.01  # of the mean of the frequencies' energy


@dataclass(frozen=True)
class ScaleFilter:
    """numerator (F, D) complex64 and denominator (F,), for the F frequencies and D features of `sizes_of`."""

    numerator: Tensor
    denominator: Tensor

    def learn(self, sizes: Tensor, scale: Tensor, rate: Tensor) -> "ScaleFilter":
        """The filter after one more image, which counts `rate` (), 0..1, against all before it."""
        new = first_scale_filter(sizes, scale)
        # No `lerp`: a GPU would have to compile that of complex numbers when it is first used, and PyTorch 2.4 has none
        # of numbers on a GPU by a rate on the CPU.
        numerator = self.numerator + (new.numerator - self.numerator) * rate
        return ScaleFilter(numerator, self.denominator + (new.denominator - self.denominator) * rate)

    def clone(self) -> "ScaleFilter":
        return ScaleFilter(self.numerator.clone(), self.denominator.clone())

    def copy_(self, other: "ScaleFilter") -> None:
        """Take over the values of `other`, in place."""
        self.numerator.copy_(other.numerator, non_blocking=True)
        self.denominator.copy_(other.denominator, non_blocking=True)

    def scale(self, sizes: Tensor) -> Tensor:
        """How many times as large as it was taken for in `sizes_of` the target is: (), between 0.77 and 1.3."""
        energy = (self.denominator + _RIDGE * self.denominator.mean()).clamp(min=1)
        response = torch.fft.irfft((self.numerator.conj() * sizes).sum(dim=1) / energy, n=_SIZES)
        best = response.argmax()  # the first, so where there is nothing to see the size stays
        below, top, above = response[(best + torch.arange(-1, 2, device=response.device)) % _SIZES]
        # The parabola through these three has its top within half a step of the best one.
        off = (below - above) / (2 * (below - 2 * top + above).clamp(max=-1e-9))
        return _STEP ** (_steps(best) + off)


def first_scale_filter(sizes: Tensor, scale: Tensor = torch.tensor(1.0)) -> ScaleFilter:
    """The filter of a target that is `scale` () times as large as it was taken for in `sizes_of`."""
    steps = _steps(torch.arange(float(_SIZES), device=sizes.device)) - torch.log(scale) / math.log(_STEP)
    wanted = torch.fft.rfft(torch.exp(-steps.square() / (2 * _DEVIATION**2)))
    return ScaleFilter(wanted.conj()[:, None] * sizes, (sizes.real.square() + sizes.imag.square()).sum(dim=1))


def no_scale(device: torch.device) -> ScaleFilter:
    """A filter that has learnt nothing: the size stays."""
    return first_scale_filter(sizes_of(torch.zeros(3, _SIDE, _SIDE, device=device), torch.ones(4), torch.ones(2)))


def sizes_of(fused: Tensor, box: Tensor, sides: Tensor) -> Tensor:
    """The image around the centre of `box` (4,) in sizes around `sides` (2,), its width and height.

    Both in fractions of the crop `fused` (3, S, S). Returns its features by frequencies over the sizes, (F, D)
    complex64.
    """
    (x, y), (width, height) = torch.add(box[:2], box[2:], alpha=0.5), sides
    steps = _steps(torch.arange(_SIZES, device=fused.device))
    line = (torch.arange(_SIDE, device=fused.device) + 0.5) / _SIDE - 0.5
    places = torch.outer(_STEP**steps, line)
    columns, rows = 2 * (x + width * places) - 1, 2 * (y + height * places) - 1
    grid = torch.stack(torch.broadcast_tensors(columns[:, None], rows[:, :, None]), dim=-1)
    images = halved(fused).expand(_SIZES, -1, -1, -1)
    patches = F.grid_sample(images, grid, padding_mode="border", align_corners=False)
    # To `describe` there is a strong edge around each patch, beside which others count less: it is the target's middle
    # that is compared, not what is behind it.
    window = torch.cos(steps * (torch.pi / (_SIZES + 1))).square()  # the largest is no neighbour of the smallest
    return torch.fft.rfft(describe(patches, _CELL).flatten(1) * window[:, None], dim=0)


def _steps(places: Tensor) -> Tensor:
    """How many steps from the right size: it is the first, larger ones follow, the smaller ones are at the end."""
    return (places + _SIZES // 2) % _SIZES - _SIZES // 2
