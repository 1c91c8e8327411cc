"""What a network is shown of a still or a clip: a template and a search crop of one scale, as when it tracks."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from tpf_model.boxes import Box
from tpf_model.config import ModelConfig
from tpf_model.crop import Crop
from tpf_model.frame import Frame
from tpf_model.network import TPFNetwork
from tpf_model.pair import Pair, crop_pair
from tpf_model.registration import Registration
from tpf_model.weights import load_network
from tpf_training.evaluation.arguments import NamedModel
from tpf_training.evaluation.clips import VideoSequence
from tpf_training.evaluation.one_pass import EvaluationError

INPUTS = ("visible", "thermal", "fused")


@dataclass(frozen=True)
class View:
    """The target in `template_box` of one pair of images, and where it is in another, whose surroundings are searched.

    name: of the still, or `<clip>/<target>/<frame>`. Boxes are x, y, w, h in pixels. has_target: whether there is one;
    else they are just places.
    """

    name: str
    template: Pair
    template_box: Box
    search: Pair
    box: Box
    has_target: bool

    def search_crop(self, config: ModelConfig) -> Crop:
        return Crop.around(self.box, config.search_factor, config.search_size)

    def inside(self, config: ModelConfig) -> np.ndarray:
        """(G^2,) bool by rows: the search crop's cells whose middle is in the image; the others are black padding."""
        crop, (height, width) = self.search_crop(config), self.search[1].shape
        middles = (np.arange(config.search_size // config.patch) + 0.5) * config.patch / crop.scale
        rows = (0 <= crop.y + middles) & (crop.y + middles < height)
        columns = (0 <= crop.x + middles) & (crop.x + middles < width)
        return (rows[:, None] & columns).ravel()


@dataclass(frozen=True)
class Crops:
    """Template (3, 3, T, T) and search crop (3, 3, S, S) in [0, 1], each as visible, as thermal and fused (INPUTS)."""

    template: Tensor
    search: Tensor


def still_view(name: str, visible: np.ndarray, thermal: np.ndarray) -> View:
    """A still has no target: its middle stands for one, and the search crop is the largest square."""
    height, width = thermal.shape
    side = min(height, width) / ModelConfig.search_factor
    box = (width - side) / 2, (height - side) / 2, side, side
    return View(name, (visible, thermal), box, (visible, thermal), box, has_target=False)


def clip_views(sequence: VideoSequence, frames: list[int]) -> Iterator[View]:
    """The target at `frames` (rising, counted from its first one) and as it was in the first, which is the template."""
    wanted = set(frames)
    for index, images in enumerate(sequence.images()):
        if index == 0:
            first = images
        if index in wanted:
            name = f"{sequence.name}/{sequence.first + index}"
            yield View(name, first, _box(sequence, 0), images, _box(sequence, index), has_target=True)
        if index == frames[-1]:
            return


def open_network(model: NamedModel) -> TPFNetwork:
    """In float32, on the GPU if there is one; EvaluationError names the model whose weights cannot be loaded."""
    try:
        network, _ = load_network(model.model, model.weights)
    except ValueError as error:
        raise EvaluationError(f"{model.name}: {error}") from error
    return network.to("cuda" if torch.cuda.is_available() else "cpu")


@torch.inference_mode()
def make_crops(network: TPFNetwork, view: View) -> Crops:
    config = network.config
    template = Crop.around(view.template_box, config.template_factor, config.template_size)
    return Crops(
        _three(network, view.template, template),
        _three(network, view.search, view.search_crop(config)),
    )


def _three(network: TPFNetwork, pair: Pair, crop: Crop) -> Tensor:
    visible, thermal = crop_pair(Frame(*pair), crop, Registration.identity())
    images = np.stack([visible, np.repeat(thermal[..., None], 3, axis=2)])
    both = torch.from_numpy(images).to(network.mean.device).permute(0, 3, 1, 2).contiguous().float() / 255
    return torch.cat([both, network.fuse(both[:1], both[1:])])


def _box(sequence: VideoSequence, index: int) -> Box:
    return tuple(sequence.boxes[index].tolist())
