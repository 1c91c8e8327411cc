"""The endless mixture of all sources that training draws from."""

import os
from pathlib import Path

import numpy as np

from tpf_training.datasets.record import Clip, Still
from tpf_training.datasets.rgb_video import read_rgb_video
from tpf_training.datasets.rgbt_pairs import read_rgbt_pairs
from tpf_training.datasets.rgbt_video import read_rgbt_video
from tpf_training.datasets.single_modality import read_single_modality
from tpf_training.datasets.thermal_tracks import read_thermal_tracks
from tpf_training.datasets.thermal_video import read_thermal_video
from tpf_training.sampling.clip_source import ClipSource
from tpf_training.sampling.finish import finish
from tpf_training.sampling.paste_source import PasteSource
from tpf_training.sampling.sample import Sample
from tpf_training.sampling.sprites import Sprite, sprites_of_clip, sprites_of_stills, sprites_of_thermal_track
from tpf_training.sampling.still_source import StillSource

# How often each source is drawn; they are normalised.
WEIGHTS = {
    "rgbt_video": 0.13,
    "rgb_video": 0.26,
    "single_modality": 0.06,
    "rgbt_pairs": 0.09,
    "pasted": 0.24,
    "thermal_video": 0.07,
    "thermal_tracks": 0.15,
}
ATTEMPTS = 50


def default_cache() -> Path:
    """Where decoded frames are kept unless told otherwise: the user's cache folder."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "tpf_training"


class Mixture:
    """Draws a source by its weight, then a sample of it."""

    def __init__(self, sources: list, groups: list[list[Sprite]], weights: dict[str, float]):
        self.sources, self.groups = sources, groups
        self.weights = np.array([weights[source.name] for source in sources])
        self.weights /= self.weights.sum()

    def sample(self, rng: np.random.Generator, source: str | None = None) -> Sample:
        """The sample that the state of `rng` stands for, of any source or of the one named `source`."""
        names = [item.name for item in self.sources]
        chosen = self.sources[names.index(source) if source else rng.choice(len(names), p=self.weights)]
        for _ in range(ATTEMPTS):
            views = chosen.views(rng)
            if views is not None:
                return finish(rng, views, self.groups, chosen.name)
        raise RuntimeError(f"source {chosen.name!r} gave no usable sample in {ATTEMPTS} attempts")


def build_mixture(
    data_root: Path | str,
    split: str = "train",
    cache: Path | str | None = "default",
    seed: int = 0,
    weights: dict[str, float] | None = None,
) -> Mixture:
    """Read every source under `data_root`, decoding videos once into the folder `cache` (None: memory only).

    `seed` fixes which looks of an object are cut out for pasting. `weights` replaces entries of WEIGHTS; 0 leaves a source
    out. Raises DatasetError naming the file at fault.
    """
    if split != "train":
        raise ValueError(f"split is {split!r}; a training mixture is only built of 'train'")
    unknown = set(weights or {}) - set(WEIGHTS)
    if unknown:
        raise ValueError(f"unknown sources {sorted(unknown)}; known: {', '.join(WEIGHTS)}")
    root, rng = Path(data_root), np.random.default_rng(seed)
    cache = default_cache() if cache == "default" else None if cache is None else Path(cache)
    weights = {**WEIGHTS, **(weights or {})}
    rgbt = read_rgbt_video(root / "rgbt_video", "train", cache)
    rgb = read_rgb_video(root / "rgb_video", cache)
    pairs = read_rgbt_pairs(root / "rgbt_pairs")
    groups = sprites_of_stills(pairs) + [sprites_of_clip(clip, rng) for clip in rgbt + rgb]
    tracks = read_thermal_tracks(root / "thermal_video", cache) if weights["thermal_tracks"] else []
    groups += [sprites_of_thermal_track(clip, masks, rng) for clip, masks in tracks]
    groups = [group for group in groups if group]
    sources = [
        ClipSource("rgbt_video", rgbt),
        ClipSource("rgb_video", rgb),
        StillSource("rgbt_pairs", pairs),
        PasteSource("pasted", pairs + _backgrounds(rgbt), groups),
    ]
    if weights["single_modality"]:
        sources.append(ClipSource("single_modality", read_single_modality(root / "single_modality", "train", cache)))
    if weights["thermal_video"]:
        sources.append(StillSource("thermal_video", read_thermal_video(root / "thermal_video", cache)))
    if tracks:
        sources.append(ClipSource("thermal_tracks", [clip for clip, _ in tracks]))
    return Mixture([source for source in sources if weights[source.name]], groups, weights)


def _backgrounds(clips: list[Clip], step: int = 15) -> list[Still]:
    """Some frames of clips with both modalities, to paste over."""
    none = np.zeros((0, 4), np.float32)
    return [Still(clip.name, clip.visible[i], clip.thermal[i], none) for clip in clips for i in range(0, len(clip.frames), step)]
