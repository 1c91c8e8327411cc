"""The endless mixture of all sources that training draws from."""

import os
import warnings
from pathlib import Path

import numpy as np

from tpf_training.augmentation.config import AugmentationConfig
from tpf_training.checks import check_name
from tpf_training.datasets.damage import summary
from tpf_training.datasets.folder import read_folder
from tpf_training.datasets.gtot import read_gtot
from tpf_training.datasets.lasher import read_lasher
from tpf_training.datasets.record import Clip, DatasetError, Still
from tpf_training.datasets.rgb_video import read_rgb_video
from tpf_training.datasets.rgbt210 import read_rgbt210
from tpf_training.datasets.rgbt234 import read_rgbt234
from tpf_training.datasets.rgbt_pairs import read_rgbt_pairs
from tpf_training.datasets.rgbt_video import read_rgbt_video
from tpf_training.datasets.single_modality import read_single_modality
from tpf_training.datasets.source_config import SourceConfig
from tpf_training.datasets.thermal_tracks import read_thermal_tracks
from tpf_training.datasets.thermal_video import read_thermal_video
from tpf_training.datasets.vtuav import read_vtuav
from tpf_training.sampling.clip_source import ClipSource
from tpf_training.sampling.config import SamplingConfig
from tpf_training.sampling.cut_out import sprites_of_clip, sprites_of_stills, sprites_of_thermal_track
from tpf_training.sampling.finish import finish
from tpf_training.sampling.paste_source import PasteSource
from tpf_training.sampling.sample import Sample
from tpf_training.sampling.sprites import ObjectPool
from tpf_training.sampling.still_source import StillSource
from tpf_training.weighted import pick

# What is drawn where nothing else is said, each source from the folder of its name; weights are normalised.
DEFAULT_SOURCES = {
    "rgbt_video": SourceConfig(0.13),
    "rgb_video": SourceConfig(0.26),
    "rgbt_pairs": SourceConfig(0.09),
    "pasted": SourceConfig(0.24),
    "single_modality": SourceConfig(0.06),
    "thermal_video": SourceConfig(0.07),
    "thermal_tracks": SourceConfig(0.15),
}
# Sets of clips with boxes that a user may have; their frames stay in their files.
FRAME_SETS = {
    "lasher": read_lasher,
    "rgbt234": read_rgbt234,
    "rgbt210": read_rgbt210,
    "gtot": read_gtot,
    "vtuav": read_vtuav,
    "folder": read_folder,
}
FOLDERS = {"thermal_tracks": "thermal_video"}  # where a source's folder has another name
ATTEMPTS = 50
BACKGROUND_STEP = 15  # frames of a clip with both modalities from one background for pasting to the next


class Mixture:
    """Draws a source by its weight, then a sample of it. `objects`: what to paste as clutter.

    skip_damaged: a frame that turns out damaged when it is drawn is counted in `damaged`, by what is wrong with it,
    told once in a warning, and another sample is drawn; otherwise it is a DatasetError. Loader processes count each
    for itself.
    """

    def __init__(
        self,
        sources: dict,
        weights: dict[str, float],
        objects: ObjectPool,
        augmentation: AugmentationConfig,
        skip_damaged: bool = False,
    ):
        self.sources, self.augmentation, self.skip_damaged = sources, augmentation, skip_damaged
        self.objects = objects if objects.groups else None
        total = sum(weights[name] for name in sources)
        self.shares = {name: weights[name] / total for name in sources}
        self.damaged: dict[str, int] = {}

    def sample(self, rng: np.random.Generator, source: str | None = None) -> Sample:
        """The sample that the state of `rng` stands for, of any source or of the one named `source`."""
        name = source or pick(rng, self.shares)
        for _ in range(ATTEMPTS):
            try:
                views = self.sources[name].views(rng)
            except DatasetError as error:
                if not self.skip_damaged:
                    raise
                self._count(str(error))
                continue
            if views is not None:
                return finish(rng, views, self.objects, name, self.augmentation)
        raise RuntimeError(f"source {name!r} gave no usable sample in {ATTEMPTS} attempts{self._damage()}")

    def _count(self, error: str) -> None:
        self.damaged[error] = self.damaged.get(error, 0) + 1
        if self.damaged[error] == 1:
            warnings.warn(f"drew another sample{self._damage()}; now: {error}", stacklevel=3)

    def _damage(self) -> str:
        return f", {len(self.damaged)} damaged frames so far" if self.damaged else ""


def default_cache() -> Path:
    """The user's cache folder for decoded frames and indices."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "tpf_training"


def check_sources(sources: dict[str, SourceConfig]) -> None:
    """ValueError for a name that is no source's, or a split of one that has none."""
    for name, source in sources.items():
        check_name("sources", name, (*DEFAULT_SOURCES, *FRAME_SETS))
        if source.split is not None and name not in FRAME_SETS:
            raise ValueError(f"source {name!r} has no splits; those that have: {', '.join(FRAME_SETS)}")


def build_mixture(
    data_root: Path | str,
    sources: dict[str, SourceConfig] | None = None,
    cache: Path | None = None,
    seed: int = 0,
    skip_damaged: bool = False,
    augmentation: AugmentationConfig = AugmentationConfig(),
    sampling: SamplingConfig = SamplingConfig(),
) -> Mixture:
    """Read `sources` (None: DEFAULT_SOURCES), "pasted" being made of the objects and backgrounds of the others.

    data_root: where the sources' folders are that have no root of their own. cache: folder for decoded videos and for
    indices; None keeps the videos in memory and no index. seed: fixes the made-up looks of objects cut out for pasting.
    skip_damaged: what is damaged is left out and its count told in a warning. DatasetError names the file or folder at
    fault, ValueError a source.
    """
    sources = DEFAULT_SOURCES if sources is None else sources
    check_sources(sources)
    weights = {name: source.weight for name, source in sources.items() if source.weight}
    if not weights:
        raise DatasetError("every source has weight 0")
    rng, skipped = np.random.default_rng(seed), [] if skip_damaged else None

    def read(name: str, reader, *options) -> list:
        if name not in weights:
            return []
        folder = Path(data_root) / (sources[name].root or FOLDERS.get(name, name))
        if not folder.is_dir():
            raise DatasetError(f"{folder}: no such folder; a weight of 0 leaves source {name!r} out")
        return reader(folder, *options, skipped=skipped)

    rgbt = read("rgbt_video", read_rgbt_video, cache)
    rgb = read("rgb_video", read_rgb_video, cache)
    pairs = read("rgbt_pairs", read_rgbt_pairs)
    single = read("single_modality", read_single_modality, cache)
    thermal = read("thermal_video", read_thermal_video, cache)
    tracks = read("thermal_tracks", read_thermal_tracks, cache)
    frame_sets = {
        name: read(name, reader, sources[name].split, cache) for name, reader in FRAME_SETS.items() if name in weights
    }
    if skipped:
        warnings.warn(summary(skipped), stacklevel=2)
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
    made = {name: makers[name]() if name in makers else ClipSource(frame_sets[name], sampling) for name in weights}
    return Mixture(made, weights, objects, augmentation, skip_damaged)


def _backgrounds(clips: list[Clip]) -> list[Still]:
    none = np.zeros((0, 4), np.float32)
    return [
        Still(clip.name, clip.visible[i], clip.thermal[i], none)
        for clip in clips
        for i in range(0, len(clip.frames), BACKGROUND_STEP)
    ]
