"""MAD samples, their source and batches: crops of both modalities, and of what experts fused from them."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from tpf_model.boxes import Box
from tpf_model.crop import sample as sample_crop
from tpf_training.augmentation.config import AugmentationConfig
from tpf_training.augmentation.photometric import brighten, to_grey
from tpf_training.datasets.expert_pairs import ExpertPair, ExpertStill
from tpf_training.datasets.record import DatasetError
from tpf_training.sampling.config import SamplingConfig
from tpf_training.sampling.finish import fractions
from tpf_training.sampling.jitter import Jitter
from tpf_training.sampling.still_source import draw_region, draw_warped_crop
from tpf_training.sampling.view import View, cut

# The settings that have a use here, and those that have one only where the target's true box is not known.
USED_SAMPLING = ("template", "search", "still_turn", "still_stretch")
USED_WITHOUT_TARGETS = ("object_box", "smallest_target")
USED_AUGMENTATION = ("flip", "grey", "brightness")
STILLS, REGIONS = 20, 5  # so many are tried, and so many regions of each, because reading one costs more than a draw


@dataclass(frozen=True)
class ExpertView:
    """A crop. visible: (S, S, 3) uint8 RGB; thermal: (S, S) uint8; experts: (K, S, S) uint8, their fused luminance."""

    visible: np.ndarray
    thermal: np.ndarray
    experts: np.ndarray


@dataclass(frozen=True)
class MADSample:
    """template, search: crops of S = 128 and 256 pixels; name: that of the pair.

    box: the target in the search crop, (x, y, w, h) in fractions of the crop.
    """

    template: ExpertView
    search: ExpertView
    box: Box
    name: str


class MADSource:
    """Draws a set, all alike, a pair of it, and a region that is the target: an object, or anything with texture.

    Of a benchmark's frames a set is a sequence, and the region is the target's true box.

    The template shows the region as it is, the search crop under a random warp. What is done to them afterwards leaves
    the experts' images what those would have made of it: the flip exactly, a loss of colour too (the luminance stays),
    brightness nearly, as it is one factor for all images of a crop. Anything that touches one modality alone would
    make the experts' images wrong, so there is none of that.
    """

    def __init__(
        self,
        pairs: Sequence[ExpertPair],
        sampling: SamplingConfig = SamplingConfig(),
        augmentation: AugmentationConfig = AugmentationConfig(),
    ):
        names = {tuple(pair.experts) for pair in pairs}
        if len(names) != 1:
            raise DatasetError(f"pairs have different experts, or there are none: {sorted(names)}")
        self.experts = list(names.pop())
        self._sampling, self._augmentation = sampling, augmentation
        self.sets = {}
        for pair in pairs:
            self.sets.setdefault(pair.name.rpartition("/")[0], []).append(pair)

    def sample(self, rng: np.random.Generator) -> MADSample:
        """The sample that the state of `rng` stands for; DatasetError names a damaged image."""
        for _ in range(STILLS):
            members = list(self.sets.values())[rng.integers(len(self.sets))]
            still = members[rng.integers(len(members))].read()
            for _ in range(REGIONS):
                drawn = draw_sample(rng, still, self._sampling, self._augmentation)
                if drawn is not None:
                    return drawn
        raise RuntimeError(f"no usable sample in {REGIONS} regions of each of {STILLS} pairs: do they show anything?")


def draw_sample(
    rng: np.random.Generator, still: ExpertStill, sampling: SamplingConfig, augmentation: AugmentationConfig
) -> MADSample | None:
    """A sample of `still`, or None where the draw gave no usable region or crop."""
    box = still.target or draw_region(rng, still, sampling)
    if box is None:
        return None
    warps = (0.0, 0.0), (sampling.still_turn, sampling.still_stretch)
    jitters = sampling.template, sampling.search
    cuts = [_cut(rng, still, box, jitter, *warp) for jitter, warp in zip(jitters, warps)]
    if None in cuts:
        return None
    flip, grey = rng.random() < augmentation.flip, rng.random() < augmentation.grey
    factors = rng.uniform(1 - augmentation.brightness, 1 + augmentation.brightness, 2)
    views = [_augment(view, experts, factor, flip, grey) for (view, experts), factor in zip(cuts, factors)]
    left, top, width, height = fractions(cuts[1][0])
    return MADSample(*views, (1 - left - width if flip else left, top, width, height), still.name)


def collate_mad(samples: Sequence[MADSample]) -> dict[str, torch.Tensor]:
    """{template,search}_visible: (B, 3, S, S), ..._thermal: (B, 1, S, S), ..._experts: (B, K, S, S), all uint8, for
    `sampling.to_float`; box: (B, 4) float32, in fractions of the search crop.
    """
    batch = {"box": torch.tensor([sample.box for sample in samples], dtype=torch.float32)}
    for name in ("template", "search"):
        views = [getattr(sample, name) for sample in samples]
        visible, thermal, experts = (
            torch.from_numpy(np.stack([getattr(view, part) for view in views]))
            for part in ("visible", "thermal", "experts")
        )
        batch[f"{name}_visible"] = visible.permute(0, 3, 1, 2)
        batch[f"{name}_thermal"] = thermal[:, None]
        batch[f"{name}_experts"] = experts
    return batch


def _cut(
    rng: np.random.Generator, still: ExpertStill, box: Box, jitter: Jitter, turn: float, stretch: float
) -> tuple[View, list[np.ndarray]] | None:
    """The view and each expert's crop, all by one warp; None where no crop was usable."""
    drawn = draw_warped_crop(rng, box, jitter, turn, stretch)
    if drawn is None:
        return None
    box, crop, warp = drawn
    experts = [sample_crop(image, crop, warp) for image in still.experts.values()]
    return cut(still.visible, still.thermal, box, crop, warp), experts


def _augment(view: View, experts: list[np.ndarray], factor: float, flip: bool, grey: bool) -> ExpertView:
    step = -1 if flip else 1
    visible = to_grey(view.visible) if grey else view.visible
    visible, thermal, *experts = (brighten(image, factor)[:, ::step] for image in (visible, view.thermal, *experts))
    return ExpertView(np.ascontiguousarray(visible), np.ascontiguousarray(thermal), np.stack(experts))
