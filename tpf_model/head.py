"""The centre head: where the target's centre is (score), how large it is (size), and where in its cell (offset)."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval


@dataclass(frozen=True)
class Prediction:
    """Maps over the search crop, G = search_size / patch cells a side.

    score (B, 1, G, G) in [1e-4, 1 - 1e-4]; size (B, 2, G, G), width and height as fractions of the crop, same range;
    offset (B, 2, G, G), x and y in cells from the cell's top-left corner, unbounded.
    """

    score: Tensor
    size: Tensor
    offset: Tensor


class CentreHead(nn.Module):
    """Three convolutional branches over the search features (B, C, G, G): OSTrack's centre head."""

    def __init__(self, width: int, channels: int):
        super().__init__()
        self.score = _branch(width, channels, 1)
        self.size = _branch(width, channels, 2)
        self.offset = _branch(width, channels, 2)
        # Nearly every cell is background: start from a score of 0.1, or the first steps only learn that.
        nn.init.constant_(self.score[-1].bias, -2.19)

    def fold_norms(self) -> None:
        """Make each normalisation a part of the convolution before it: the same function, of a head in eval mode."""
        for branch in (self.score, self.size, self.offset):
            for place, module in enumerate(branch):
                if isinstance(module, nn.BatchNorm2d):
                    branch[place - 1], branch[place] = fuse_conv_bn_eval(branch[place - 1], module), nn.Identity()

    def forward(self, features: Tensor) -> Prediction:
        return Prediction(_bounded(self.score(features)), _bounded(self.size(features)), self.offset(features))


class MergedHead(nn.Module):
    """The same function as a `CentreHead` whose norms are folded: its branches side by side, a convolution a layer.

    Most are so small that a CPU takes longer to call them than to compute them.
    """

    def __init__(self, head: CentreHead):
        super().__init__()
        layers = []
        for side_by_side in zip(head.score, head.size, head.offset):
            if isinstance(side_by_side[0], nn.Conv2d):
                layers.append(_merge(side_by_side, same_input=not layers))
            elif isinstance(side_by_side[0], nn.ReLU):
                layers.append(side_by_side[0])
        self.layers = nn.Sequential(*layers)

    def forward(self, features: Tensor) -> Prediction:
        score, size, offset = self.layers(features).chunk(3, dim=1)
        return Prediction(_bounded(score[:, :1]), _bounded(size), offset)


@torch.no_grad()
def _merge(convolutions: tuple[nn.Conv2d, ...], same_input: bool) -> nn.Conv2d:
    """One convolution for several; each has as many outputs as that of them with the most, the last ones being 0."""
    first, count = convolutions[0], len(convolutions)
    most = max(one.out_channels for one in convolutions)
    groups = 1 if same_input else count
    inputs = first.in_channels * groups
    merged = nn.Conv2d(inputs, most * count, first.kernel_size, padding=first.padding, groups=groups)
    for parameter in merged.parameters():
        parameter.zero_()
    for place, one in enumerate(convolutions):
        merged.weight[place * most :][: one.out_channels] = one.weight
        merged.bias[place * most :][: one.out_channels] = one.bias
    return merged


def _branch(width: int, channels: int, outputs: int) -> nn.Sequential:
    layers, last = [], width
    for current in (channels, channels // 2, channels // 4, channels // 8):
        layers += [nn.Conv2d(last, current, 3, padding=1), nn.BatchNorm2d(current), nn.ReLU(inplace=True)]
        last = current
    return nn.Sequential(*layers, nn.Conv2d(last, outputs, 1))


def _bounded(logits: Tensor) -> Tensor:
    # float32: 1 - 1e-4 is not a bfloat16 number, and the focal loss takes its logarithm.
    return torch.sigmoid(logits.float()).clamp(1e-4, 1 - 1e-4)
