"""A network's features of pairs of images, layer by layer, and the gaps between what it makes of them."""

from collections.abc import Iterable

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from tpf_model.network import TPFNetwork
from tpf_training.evaluation.gap_mmd import Gap, discrepancies, gap, kernel_means, median_squared_distance
from tpf_training.evaluation.layer_features import LayerFeatures, layer_names
from tpf_training.evaluation.one_pass import EvaluationError
from tpf_training.evaluation.views import INPUTS, View, make_crops

COMPARISONS = (("visible", "thermal"), ("fused", "visible"), ("fused", "thermal"))
PIXELS = "pixels"

Features = dict[str, Tensor]  # by layer, (n, 3, t, C): of n views, as each of INPUTS, t tokens of the search crop


@torch.inference_mode()
def layer_features(
    networks: dict[str, TPFNetwork], views: Iterable[View], tokens: int, seed: int
) -> dict[str, Features]:
    """By the network's name. One view is in memory at a time.

    `pixels` are the encoder's input, its normalised patches; the other layers are those of `layer_names`. The same
    `tokens` random places of a view in all layers, and as all inputs; places outside the image, which are black in
    each, do not count. Each input is encoded by itself: its template with its search crop.
    """
    kept: dict[str, dict[str, list[Tensor]]] = {name: {} for name in networks}
    for index, view in enumerate(views):
        for name, network in networks.items():
            places = _places(view.inside(network.config), tokens, np.random.default_rng([seed, index]))
            for layer, values in _encode(network, view).items():
                kept[name].setdefault(layer, []).append(values[:, torch.from_numpy(places)].cpu())
    return {name: {layer: torch.stack(values) for layer, values in layers.items()} for name, layers in kept.items()}


def layer_gaps(features: Features, permutations: int, seed: int) -> dict[str, dict[str, Gap]]:
    """By COMPARISONS, "visible-thermal" .., and layer. A layer has one bandwidth, that of visible and thermal.

    EvaluationError where most of a layer's tokens are one, which leaves no bandwidth.
    """
    gaps: dict[str, dict[str, Gap]] = {"-".join(names): {} for names in COMPARISONS}
    for layer, values in features.items():
        inputs = dict(zip(INPUTS, values.unbind(dim=1)))
        median = median_squared_distance(inputs["visible"], inputs["thermal"])
        if median == 0:
            raise EvaluationError(f"layer {layer}: most tokens are equal: are the images black?")
        own = {name: kernel_means(tokens, tokens, median) for name, tokens in inputs.items()}
        for a, b in COMPARISONS:
            h = discrepancies(own[a], own[b], kernel_means(inputs[a], inputs[b], median))
            gaps[f"{a}-{b}"][layer] = gap(h, permutations, seed)
    return gaps


def _encode(network: TPFNetwork, view: View) -> dict[str, Tensor]:
    """By layer, (3, search tokens, C)."""
    crops = make_crops(network, view)
    with LayerFeatures(network.encoder) as features:
        network.encode(crops.template, crops.template, crops.search)
    pixels = functional.pixel_unshuffle((crops.search - network.mean) / network.std, network.config.patch)
    layers = [pixels.flatten(2).transpose(1, 2), *features.tokens]
    return dict(zip([PIXELS, *layer_names(network.config.depth)], layers, strict=True))


def _places(inside: np.ndarray, tokens: int, rng: np.random.Generator) -> np.ndarray:
    """(tokens,) of the cells that are inside; some of them twice where there are fewer."""
    cells = np.flatnonzero(inside)
    return rng.choice(cells, tokens, replace=len(cells) < tokens)
