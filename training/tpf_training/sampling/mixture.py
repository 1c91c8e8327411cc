"""The endless mixture of all sources that training draws from."""

import math
import os
from pathlib import Path

import numpy as np

from tpf_training.augmentation.config import AugmentationConfig
from tpf_training.datasets.record import Clip, DatasetError, Still
from tpf_training.datasets.rgb_video import read_rgb_video
from tpf_training.datasets.rgbt_pairs import read_rgbt_pairs
from tpf_training.datasets.rgbt_video import read_rgbt_video
from tpf_training.datasets.single_modality import read_single_modality
from tpf_training.datasets.thermal_tracks import read_thermal_tracks
from tpf_training.datasets.thermal_video import read_thermal_video
from tpf_training.sampling.clip_source import ClipSource
from tpf_training.sampling.config import SamplingConfig
from tpf_training.sampling.cut_out import sprites_of_clip, sprites_of_stills, sprites_of_thermal_track
from tpf_training.sampling.finish import finish
from tpf_training.sampling.paste_source import PasteSource
from tpf_training.sampling.sample import Sample
from tpf_training.sampling.sprites import ObjectPool
from tpf_training.sampling.still_source import StillSource
from tpf_training.weighted import pick

# How often each source is drawn; they are normalised.
WEIGHTS = {
    "rgbt_video": 0.13,
    "rgb_video": 0.26,
    "rgbt_pairs": 0.09,
    "pasted": 0.24,
    "single_modality": 0.06,
    "thermal_video": 0.07,
    "thermal_tracks": 0.15,
}
ATTEMPTS = 50
BACKGROUND_STEP = 15  # frames of a clip with both modalities from one background for pasting to the next


class Mixture:
    """Draws a source by its weight, then a sample of it. `objects`: what to paste as clutter."""

    def __init__(self, sources: dict, weights: dict[str, float], objects: ObjectPool, augmentation: AugmentationConfig):
        self.sources, self.augmentation = sources, augmentation
        self.objects = objects if objects.groups else None
        total = sum(weights[name] for name in sources)
        self.shares = {name: weights[name] / total for name in sources}

    def sample(self, rng: np.random.Generator, source: str | None = None) -> Sample:
        """The sample that the state of `rng` stands for, of any source or of the one named `source`."""
        name = source or pick(rng, self.shares)
        for _ in range(ATTEMPTS):
            views = self.sources[name].views(rng)
            if views is not None:
                return finish(rng, views, self.objects, name, self.augmentation)
        raise RuntimeError(f"source {name!r} gave no usable sample in {ATTEMPTS} attempts")


def default_cache() -> Path:
    """The user's cache folder for decoded frames."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "tpf_training"


def check_weights(weights: dict[str, float]) -> None:
    """ValueError where `weights` names no source, or a weight is none."""
    for name, weight in weights.items():
        if name not in WEIGHTS:
            raise ValueError(f"unknown source {name!r}; known: {', '.join(WEIGHTS)}")
        if not math.isfinite(weight) or weight < 0:
            raise ValueError(f"weight of source {name!r} is {weight}, must be 0 or more")


def build_mixture(
    data_root: Path | str,
    weights: dict[str, float] | None = None,
    cache: Path | None = None,
    seed: int = 0,
    augmentation: AugmentationConfig = AugmentationConfig(),
    sampling: SamplingConfig = SamplingConfig(),
) -> Mixture:
    """Read the sources under `data_root`: each from the folder of its name, "thermal_tracks" from thermal_video, and
    "pasted" is made of the others.

    weights: replaces entries of WEIGHTS; a source of weight 0 is not read at all. cache: folder for decoded videos;
    None keeps them in memory. seed: fixes the made-up looks of objects cut out for pasting. DatasetError names the file
    or folder at fault, ValueError a weight.
    """
    check_weights(weights or {})
    weights = WEIGHTS | (weights or {})
    root, rng = Path(data_root), np.random.default_rng(seed)

    def read(name: str, reader, *options, folder: str = "") -> list:
        if not weights[name]:
            return []
        folder = root / (folder or name)
        if not folder.is_dir():
            raise DatasetError(f"{folder}: no such folder; a weight of 0 leaves source {name!r} out")
        return reader(folder, *options)

    rgbt = read("rgbt_video", read_rgbt_video, cache)
    rgb = read("rgb_video", read_rgb_video, cache)
    pairs = read("rgbt_pairs", read_rgbt_pairs)
    single = read("single_modality", read_single_modality, cache)
    thermal = read("thermal_video", read_thermal_video, cache)
    tracks = read("thermal_tracks", read_thermal_tracks, cache, folder="thermal_video")
    groups = sprites_of_stills(pairs) + [sprites_of_clip(clip, rng) for clip in rgbt + rgb]
    groups += [sprites_of_thermal_track(clip, masks, rng) for clip, masks in tracks]
    objects = ObjectPool([group for group in groups if group])
    makers = {
        "rgbt_video": lambda: ClipSource(rgbt, sampling),
        "rgb_video": lambda: ClipSource(rgb, sampling),
        "rgbt_pairs": lambda: StillSource(pairs, sampling),
        "pasted": lambda: PasteSource(pairs + _backgrounds(rgbt), objects, sampling),
        "single_modality": lambda: ClipSource(single, sampling, follows=True),
        "thermal_video": lambda: StillSource(thermal, sampling),
        "thermal_tracks": lambda: ClipSource([clip for clip, _ in tracks], sampling),
    }
    sources = {name: make() for name, make in makers.items() if weights[name]}
    if not sources:
        raise ValueError("every source has weight 0")
    return Mixture(sources, weights, objects, augmentation)


def _backgrounds(clips: list[Clip]) -> list[Still]:
    none = np.zeros((0, 4), np.float32)
    return [
        Still(clip.name, clip.visible[i], clip.thermal[i], none)
        for clip in clips
        for i in range(0, len(clip.frames), BACKGROUND_STEP)
    ]
