"""What a network makes of a view, as pictures: the fused crop, feature maps of its branches, the score map."""

from dataclasses import dataclass

import cv2
import numpy as np
import torch
from torch import Tensor

from tpf_model.backbone import VisionTransformer
from tpf_model.network import TPFNetwork
from tpf_model.runtime import fused_to_image
from tpf_training.drf.decoupling import Decoupling
from tpf_training.evaluation.feature_maps import feature_map, heat_map
from tpf_training.evaluation.layer_features import LayerFeatures
from tpf_training.evaluation.views import INPUTS, Crops, View, make_crops
from tpf_training.losses.box import boxes_at_peaks

TRUTH, ESTIMATE = (0, 255, 0), (255, 64, 64)


@dataclass(frozen=True)
class ShownModel:
    """layers: of its encoders, 0 the patch embedding. decoupling: a checkpoint's auxiliary branches, or None."""

    name: str
    network: TPFNetwork
    layers: tuple[int, ...]
    decoupling: Decoupling | None = None


@dataclass(frozen=True)
class Picture:
    """image: (S, S, 3) uint8 RGB. title: the same for all views. caption: what is said of this one, or ""."""

    title: str
    image: np.ndarray
    caption: str = ""


def source_pictures(model: ShownModel, view: View) -> list[Picture]:
    """The search crop of both cameras, with the true box."""
    crops = make_crops(model.network, view)
    images = [_with_boxes(crops.search[index], _true_box(model, view), None) for index in range(2)]
    return [Picture(title, image) for title, image in zip(INPUTS, images)]


@torch.inference_mode()
def model_pictures(model: ShownModel, view: View, kind: str) -> list[Picture]:
    """Fused crop, score map (of a view with a target), the maps of each branch by layer, what the branches rebuild.

    kind: of MAPS. The estimate in the fused crop is that of the best score, without a window.
    """
    network, size, inside = model.network, model.network.config.search_size, view.inside(model.network.config)
    crops = make_crops(network, view)
    features, layers = _encode(network.encoder, _normalised(crops, network), INPUTS.index("fused"))
    maps = [("fusion branch", layers)]
    rebuilt = []
    if model.decoupling is not None:
        for modality, branch in model.decoupling.branches.items():
            irrelevant, branch_layers = _encode(branch.encoder, _normalised(crops, network), INPUTS.index(modality))
            maps.append((f"{modality} branch", branch_layers))
            if branch.decoder is not None:
                image = branch.decoder(features + irrelevant) * network.std + network.mean
                rebuilt.append(Picture(f"{modality} rebuilt", fused_to_image(image[0])))
    prediction = network.predict(features)
    score = prediction.score[0, 0].cpu().numpy()
    found = boxes_at_peaks(prediction)[0].tolist() if view.has_target else None
    pictures = [Picture("fused", _with_boxes(crops.search[2], _true_box(model, view), found))]
    if view.has_target:
        pictures.append(Picture("score", heat_map(score, size), f"max {score.max():.2f}"))
    for branch, branch_layers in maps:
        for layer in model.layers:
            title = f"{branch}, {f'block {layer}' if layer else 'embedding'}"
            pictures.append(Picture(title, feature_map(branch_layers[layer][0], inside, kind, size)))
    return pictures + rebuilt


def _normalised(crops: Crops, network: TPFNetwork) -> Crops:
    return Crops(*((crop - network.mean) / network.std for crop in (crops.template, crops.search)))


def _encode(encoder: VisionTransformer, crops: Crops, index: int) -> tuple[Tensor, list[Tensor]]:
    """The encoder's output and its layers for one of INPUTS."""
    template, search = crops.template[index : index + 1], crops.search[index : index + 1]
    with LayerFeatures(encoder) as features:
        return encoder(template, template, search), features.tokens


def _true_box(model: ShownModel, view: View) -> tuple[float, ...] | None:
    if not view.has_target:
        return None
    crop = view.search_crop(model.network.config)
    return tuple(value / crop.size for value in crop.box_to_crop(view.box))


def _with_boxes(crop: Tensor, truth: tuple[float, ...] | None, found: tuple[float, ...] | None) -> np.ndarray:
    image = np.ascontiguousarray(fused_to_image(crop))
    for box, colour in ((truth, TRUTH), (found, ESTIMATE)):
        if box is not None:
            x, y, w, h = (round(value * len(image)) for value in box)
            cv2.rectangle(image, (x, y), (x + w, y + h), colour, 1)
    return image
