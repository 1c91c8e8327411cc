"""Where training samples come from and how they are varied."""

from dataclasses import dataclass, field
from pathlib import Path

from omegaconf import MISSING

from tpf_training.augmentation.config import AugmentationConfig
from tpf_training.datasets.source_config import SourceConfig
from tpf_training.sampling import check_sources
from tpf_training.sampling.config import SamplingConfig


@dataclass(frozen=True)
class DataConfig:
    """root: the folder whose subfolders are the sources that name no root of their own.

    sources: weights and roots by name, see `sampling.mixture`. cache: folder for decoded videos, None for the user's
    cache folder. skip_damaged: damaged sequences and frames are skipped and counted, instead of being an error.
    """

    root: Path = MISSING
    sources: dict[str, SourceConfig] = field(default_factory=dict)
    cache: Path | None = None
    skip_damaged: bool = False
    sampling: SamplingConfig = field(default_factory=SamplingConfig)
    augmentation: AugmentationConfig = field(default_factory=AugmentationConfig)

    def __post_init__(self):
        check_sources(self.sources)
