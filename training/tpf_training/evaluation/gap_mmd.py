"""The maximum mean discrepancy (MMD) between two modalities' features: how far apart their distributions are.

Gretton et al., "A kernel two-sample test", JMLR 2012: its unbiased estimate of MMD^2 (equation 4). Features of one
image are alike, and a pair shows one scene: a sample is a pair with several tokens of each modality, and terms within
a pair are left out.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

# Bandwidths, as multiples of the median squared distance: a mean over several kernels needs no luck with one (Long et
# al., "Learning transferable features with deep adaptation networks", 2015, add five such ones up).
SCALES = (4.0, 2.0, 1.0, 0.5, 0.25)
_MEDIAN_TOKENS = 1000  # of each modality, evenly: their median is as good as that of all
LEVEL = 0.95


@dataclass(frozen=True)
class Gap:
    """squared: the estimate of MMD^2, in [-2, 2], around 0 where there is no gap. error: its standard error (jackknife
    over the pairs). noise: what 95 % of the estimates stay below where the modality says nothing (see `gap`). p: the
    share of those that reach `squared`.
    """

    squared: float
    error: float
    noise: float
    p: float


def median_squared_distance(a: Tensor, b: Tensor) -> float:
    """Over all pairs of tokens of a and b together, (n, t, C) each; of up to 1,000 evenly spaced ones of each."""
    tokens = torch.cat([_some(a.flatten(0, 1)), _some(b.flatten(0, 1))])
    distances = _squared_distances(tokens, tokens)
    return float(distances[torch.triu_indices(*distances.shape, 1).unbind()].median())


def kernel_means(a: Tensor, b: Tensor, median: float) -> np.ndarray:
    """(n, n) float64: the mean of k over all tokens of a_i and b_j, of (n, t, C) each.

    k is the mean of Gaussian kernels exp(-d^2 / (s `median`)) over the s of SCALES, in [0, 1].
    """
    kernel = torch.exp(_squared_distances(a.flatten(0, 1), b.flatten(0, 1)) / (-SCALES[0] * median))
    total = kernel.clone()
    for _ in SCALES[1:]:  # each half the bandwidth of the one before
        total += kernel.square_()
    blocks = total.unflatten(0, a.shape[:2]).unflatten(2, b.shape[:2])
    return blocks.mean(dim=(1, 3), dtype=torch.float64).numpy() / len(SCALES)


def discrepancies(aa: np.ndarray, bb: np.ndarray, ab: np.ndarray) -> np.ndarray:
    """h_ij = k(a_i, a_j) + k(b_i, b_j) - k(a_i, b_j) - k(b_i, a_j), (n, n), from the `kernel_means` of each two."""
    return aa + bb - ab - ab.T


def gap(h: np.ndarray, permutations: int, seed: int) -> Gap:
    """MMD^2 from the `discrepancies` of n pairs, n >= 3.

    The noise: in each permutation the modalities of a random half of the pairs change places, which changes nothing
    where both have one distribution, and changes the sign of h_ij where one of i and j is in that half.
    """
    count = len(h)
    h = h - np.diag(np.diag(h))
    total, rows = h.sum(), h.sum(axis=1)
    squared = total / (count * (count - 1))
    without = (total - 2 * rows) / ((count - 1) * (count - 2))
    error = np.sqrt((count - 1) / count * np.square(without - without.mean()).sum())
    signs = np.random.default_rng(seed).choice([-1.0, 1.0], (permutations, count))
    null = ((signs @ h) * signs).sum(axis=1) / (count * (count - 1))
    p = (1 + (null >= squared).sum()) / (1 + permutations)
    return Gap(float(squared), float(error), float(np.quantile(null, LEVEL)), float(p))


def _squared_distances(a: Tensor, b: Tensor) -> Tensor:
    centre = a.mean(dim=0)  # distances are small beside a common offset, which would take their digits
    a, b = a - centre, b - centre
    products = torch.addmm(b.square().sum(dim=1).expand(len(a), -1), a, b.T, alpha=-2)
    return products.add_(a.square().sum(dim=1, keepdim=True)).clamp_(min=0)


def _some(tokens: Tensor) -> Tensor:
    return tokens[:: -(-len(tokens) // _MEDIAN_TOKENS)]
