"""A discriminative correlation filter: what this target looks like among its surroundings, learnt while it is tracked.

The head was trained to find whatever resembles the template, and finds a look-alike as readily. The filter sees finer
detail than a patch of the encoder does, and has learnt what is beside the target. It is a linear filter of several
channels over the fused search crop, as small as the target (background-aware correlation filters, Galoogahi et al.
2017): it learns to tell what surrounds the target from it, and does not look for that, which changes when the target
moves.
"""

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from tpf_model.features import describe, halved

_CELL = 8  # pixels of a cell's side: the target is some eight cells wide
_DEVIATION = 1.6  # cells of the wanted response, a Gaussian
_RIDGE = 0.01  # of the mean of the channels' energy
# Of the best response. No place is impossible: a target that turned, or is half hidden, must be able to win.
_FLOOR = 0.1
_STEPS = 3  # towards a filter that is cut off where the target ends ...
_PENALTY = 0.05  # ... of the mean of the channels' energy, for being another than that, at first ...
_GROWTH = 3  # ... and its growth in each step
_EDGE = 0.5  # cells over which the filter is cut off ...
_NARROWEST = 1.5  # ... at no fewer cells from its middle
_REACH = 1.0  # cell that a box is moved within, a Gaussian's deviation ...
_SURE, _FURTHER = 0.3, 3.0  # ... wider in proportion where the score is below this, up to so many times ...
_SHARPNESS = 4  # ... to the best ones among them: a power of their responses
_SEEN = 0.3  # of the crop's middle, down to which it may have faded where something is compared with the target ...
_AROUND = 2  # ... by the cells within so many of its place


@dataclass(frozen=True)
class CorrelationFilter:
    """What a spectrum is multiplied with, channel by channel: (C, N, N / 2 + 1) complex64 for a crop of N x N cells."""

    transfer: Tensor

    def learn(self, spectrum: Tensor, box: Tensor, rate: Tensor) -> "CorrelationFilter":
        """The filter after one more crop, which counts `rate` (), 0..1, against all before it; see `first_filter`."""
        new = first_filter(spectrum, box).transfer
        # No `lerp`, as in the scale filter.
        return CorrelationFilter(self.transfer + (new - self.transfer) * rate)

    def clone(self) -> "CorrelationFilter":
        return CorrelationFilter(self.transfer.clone())

    def copy_(self, other: "CorrelationFilter") -> None:
        """Take over the values of `other`, in place."""
        self.transfer.copy_(other.transfer, non_blocking=True)

    def respond(self, spectrum: Tensor) -> Tensor:
        """How much each of the crop's cells looks like the target's middle: (N, N), at most about 1, mostly near 0."""
        return torch.fft.irfft2((self.transfer * spectrum).sum(dim=0))


def preference(response: Tensor, cells: int) -> Tensor:
    """A response as (cells, cells) that scores can be multiplied with, above 0 everywhere and 1 at the best place."""
    return F.adaptive_max_pool2d(_relative(response)[None], cells)[0].clamp(min=_FLOOR)


def recentred(box: Tensor, response: Tensor, score: Tensor) -> Tensor:
    """`box` (4,), in fractions of the crop, moved to where the response around its centre is best.

    score: the network's, one number, for how sure it is of the place. Where it is not, the box may be moved further.

    The network says where the target is to some part of a patch, the filter to some part of its much smaller cells.
    This is one step of mean shift (Comaniciu and Meer, 2002): to the mean of the cells' places, by their response and
    their nearness. Where there is no response the box stays.
    """
    cells = len(response)
    away = _away(box, cells)
    reach = _REACH * (_SURE / score).clamp(1, _FURTHER)
    near_x, near_y = torch.exp(away.square() * (-0.5 / reach.square()))
    weights = (_relative(response) - _FLOOR).clamp(min=0) ** _SHARPNESS * torch.outer(near_y, near_x)
    moments = (torch.stack((weights.sum(dim=0), weights.sum(dim=1))) * away).sum(dim=1) / cells
    return torch.cat((box[:2] + moments / weights.sum().clamp(min=1e-6), box[2:]))


def response_at(box: Tensor, response: Tensor) -> Tensor:
    """The best response within a cell of the centre of `box` (4,), in fractions of the crop; 0 outside the crop."""
    column, row = _away(box, len(response)).abs() <= 1.5
    return torch.where(row[:, None] & column, response, 0).max()


def likeness_at(place: NDArray, response: NDArray[np.float32]) -> float | None:
    """The best response (N, N) around `place` (2,), in fractions of the crop, as it would be in the crop's middle.

    None near the border, where the crop has faded out too far for the response to say anything.
    """
    fade = float(np.prod(np.sin(np.pi * place.clip(0, 1)) ** 2))
    if fade < _SEEN:
        return None
    column, row = (place * len(response)).astype(int)
    around = response[max(row - _AROUND, 0) : row + _AROUND + 1, max(column - _AROUND, 0) : column + _AROUND + 1]
    return float(around.max()) / fade


def no_preference(size: int, device: torch.device) -> CorrelationFilter:
    """A filter whose response to a crop of `size` pixels a side is the same everywhere."""
    return CorrelationFilter(torch.zeros_like(spectrum_of(torch.zeros(3, size, size, device=device))))


def spectrum_of(fused: Tensor) -> Tensor:
    """What the filter sees of a fused crop (3, S, S): (C, N, N / 2 + 1) complex64."""
    return torch.fft.rfft2(_describe(fused))


def first_filter(spectrum: Tensor, box: Tensor) -> CorrelationFilter:
    """The filter of the crop of a `spectrum_of`, whose target is in `box` (4,), float64, in fractions of the crop.

    By the alternating direction method of multipliers: of two copies of the filter one is free to give the wanted
    response, the other ends where the target does, and both are drawn to each other.
    """
    cells, device = spectrum.shape[1], spectrum.device
    x, y, width, height = (box * cells).unbind()
    bump = torch.outer(_bump(cells, y + height / 2, device), _bump(cells, x + width / 2, device))
    target = torch.outer(_within(cells, height / 2, device), _within(cells, width / 2, device))
    energy = torch.linalg.vecdot(spectrum, spectrum, dim=0).real
    scale = energy.mean().clamp(min=1e-6).rsqrt()  # of an image without edges, all is 0
    # With a mean of 1 the penalties are plain numbers.
    spectrum, energy = spectrum * scale, energy * scale.square()
    mirrored = spectrum.conj()
    wanted = torch.fft.rfft2(bump) * mirrored
    limited = _cut(wanted * (energy + _RIDGE).reciprocal(), target)
    multiplier = torch.zeros_like(limited)
    for penalty in (_PENALTY * _GROWTH**step for step in range(_STEPS)):
        asked = torch.add(limited, wanted - multiplier, alpha=1 / penalty)
        # Only the channels' sum is wanted: their normal equations have rank one (Sherman and Morrison, 1950).
        free = asked - mirrored * ((spectrum * asked).sum(dim=0) / (energy + penalty))
        limited = _cut(torch.add(free, multiplier, alpha=1 / penalty), target) * (penalty / (penalty + _RIDGE))
        multiplier = torch.add(multiplier, free - limited, alpha=penalty)
    return CorrelationFilter(limited * scale)


def _cut(transfer: Tensor, target: Tensor) -> Tensor:
    return torch.fft.rfft2(torch.fft.irfft2(transfer) * target)


def _relative(response: Tensor) -> Tensor:
    """A response with 1 as its best, if there is any."""
    return response / response.max().clamp(min=1e-6)


def _away(box: Tensor, cells: int) -> Tensor:
    """How far each column's and each row's middle is from the centre of `box`, in cells: (2, cells)."""
    middles = torch.arange(0.5, cells, device=box.device)
    return middles - torch.add(box[:2], box[2:], alpha=0.5)[:, None] * cells


def _describe(fused: Tensor) -> Tensor:
    """`describe` of the crop, fading out towards the border: (C, N, N)."""
    cells = describe(halved(fused), _CELL // 2)[0]
    fade = torch.hann_window(cells.shape[1] + 2, periodic=False, device=cells.device)[1:-1]
    return cells * torch.outer(fade, fade)


def _within(cells: int, reach: Tensor, device: torch.device) -> Tensor:
    """1 up to `reach` cells from the first one, 0 beyond, on the same circle as `_bump`."""
    place = torch.arange(float(cells), device=device)
    return torch.sigmoid((reach.clamp(min=_NARROWEST) - torch.minimum(place, cells - place)) / _EDGE)


def _bump(cells: int, centre: Tensor, device: torch.device) -> Tensor:
    """A Gaussian over the cells' middles, on a circle as the Fourier transform has it."""
    away = (torch.arange(cells, device=device) + 0.5 - centre + cells / 2) % cells - cells / 2
    return torch.exp(-away.square() / (2 * _DEVIATION**2))
