"""A discriminative correlation filter: what this target looks like among its surroundings, learnt while it is tracked.

The head was trained to find whatever resembles the template, and finds a look-alike as readily. The filter sees finer
detail than a patch of the encoder does, and has learnt what is beside the target. It is the linear filter of several
channels in closed form (MOSSE, Bolme et al. 2010; DSST, Danelljan et al. 2014), over the fused search crop.
"""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

_SHRINK = 2  # pixels of a crop's side that become one, before edges are looked for
_CELL = 8  # pixels of a cell's side: the target is some eight cells wide
_DIRECTIONS = 8  # of the edges that are told apart
_DEVIATION = 1.6  # cells of the wanted response, a Gaussian
_RIDGE = 0.01  # of the mean of the channels' energy
# Of the best response. No place is impossible: a target that turned, or is half hidden, must be able to win.
_FLOOR = 0.1
_REACH = 1.0  # cell that a box is moved within, a Gaussian's deviation ...
_SHARPNESS = 4  # ... to the best ones among them: a power of their responses


@dataclass(frozen=True)
class CorrelationFilter:
    """Fourier transforms over the crop's cells: numerator (C, N, N / 2 + 1) complex64, denominator (N, N / 2 + 1)."""

    numerator: Tensor
    denominator: Tensor

    def learn(self, spectrum: Tensor, centre: tuple[float, float], rate: float) -> "CorrelationFilter":
        """The filter after one more crop, which counts `rate` (0..1) against all before it; see `first_filter`."""
        new = first_filter(spectrum, centre)
        return CorrelationFilter(
            self.numerator.lerp(new.numerator, rate), self.denominator.lerp(new.denominator, rate)
        )

    def copy_(self, other: "CorrelationFilter") -> None:
        """Take over the values of `other`, in place."""
        self.numerator.copy_(other.numerator, non_blocking=True)
        self.denominator.copy_(other.denominator, non_blocking=True)

    def respond(self, spectrum: Tensor) -> Tensor:
        """Where in the crop of a `spectrum_of` the target may be: (N, N) over its cells, 1 at the best place."""
        ridge = (_RIDGE * self.denominator.mean()).clamp(min=1e-6)  # of an image without edges, all is 0
        quotient = (self.numerator * spectrum).sum(dim=0) / (self.denominator + ridge)
        response = torch.fft.irfft2(quotient)
        return response / response.max().clamp(min=1e-6)


def preference(response: Tensor, cells: int) -> Tensor:
    """A response as (cells, cells) that scores can be multiplied with, above 0 everywhere and up to 1."""
    return F.adaptive_max_pool2d(response[None], cells)[0].clamp(min=_FLOOR)


def recentred(box: Tensor, response: Tensor) -> Tensor:
    """`box` (4,), in fractions of the crop, moved to where the response around its centre is best.

    The network says where the target is to some part of a patch, the filter to some part of its much smaller cells.
    This is one step of mean shift (Comaniciu and Meer, 2002): to the mean of the cells' places, by their response and
    their nearness. Where there is no response the box stays.
    """
    cells = len(response)
    places = (torch.arange(cells, device=box.device) + 0.5) / cells
    column, row = (places - (box[axis] + box[axis + 2] / 2) for axis in (0, 1))
    near_x, near_y = (torch.exp(-0.5 * (away * cells / _REACH).square()) for away in (column, row))
    weights = (response - _FLOOR).clamp(min=0) ** _SHARPNESS * torch.outer(near_y, near_x)
    moments = torch.stack(((weights.sum(dim=0) * column).sum(), (weights.sum(dim=1) * row).sum()))
    return torch.cat((box[:2] + moments / weights.sum().clamp(min=1e-6), box[2:]))


def no_preference(size: int, device: torch.device) -> CorrelationFilter:
    """A filter whose response to a crop of `size` pixels a side is the same everywhere."""
    empty = first_filter(spectrum_of(torch.zeros(3, size, size, device=device)), (0.5, 0.5))
    return CorrelationFilter(torch.zeros_like(empty.numerator), torch.ones_like(empty.denominator))


def spectrum_of(fused: Tensor) -> Tensor:
    """What the filter sees of a fused crop (3, S, S): (C, N, N / 2 + 1) complex64."""
    return torch.fft.rfft2(_describe(fused))


def first_filter(spectrum: Tensor, centre: tuple[float, float]) -> CorrelationFilter:
    """The filter of the crop of a `spectrum_of`, whose target is at `centre`, x and y in fractions of the crop."""
    cells = spectrum.shape[1]
    column, row = (_bump(cells, value * cells, spectrum.device) for value in centre)
    wanted = torch.fft.rfft2(torch.outer(row, column))
    return CorrelationFilter(wanted * spectrum.conj(), spectrum.abs().square().sum(dim=0))


def _describe(fused: Tensor) -> Tensor:
    """Edges by direction, evened out over neighbouring cells, and colour: (C, N, N), fading out towards the border."""
    image = F.avg_pool2d(fused.clamp(0, 1)[None], _SHRINK)
    edges = F.conv2d(image.mean(dim=1, keepdim=True), _derivatives(image.device), padding=1).relu()
    edges = F.avg_pool2d(edges, _CELL // _SHRINK)
    strength = edges.square().sum(dim=1, keepdim=True).sqrt()
    edges = edges / (F.avg_pool2d(strength, 3, stride=1, padding=1) + 0.01)
    cells = torch.cat((edges.clamp(max=1), F.avg_pool2d(image, _CELL // _SHRINK)), dim=1)[0]
    fade = torch.hann_window(cells.shape[1] + 2, periodic=False, device=cells.device)[1:-1]
    return (cells - cells.mean(dim=(1, 2), keepdim=True)) * torch.outer(fade, fade)


def _derivatives(device: torch.device) -> Tensor:
    """(_DIRECTIONS, 1, 3, 3): Sobel's derivative in each direction."""
    line = torch.arange(3.0, device=device) - 1
    across = torch.outer(2 - line.abs(), line) / 8
    angles = torch.arange(_DIRECTIONS, device=device).view(-1, 1, 1) * (2 * math.pi / _DIRECTIONS)
    return (angles.cos() * across + angles.sin() * across.T)[:, None]


def _bump(cells: int, centre: float, device: torch.device) -> Tensor:
    """A Gaussian over the cells' middles, on a circle as the Fourier transform has it."""
    away = (torch.arange(cells, device=device) + 0.5 - centre + cells / 2) % cells - cells / 2
    return torch.exp(-away.square() / (2 * _DEVIATION**2))
