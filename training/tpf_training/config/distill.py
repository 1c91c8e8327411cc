"""Configuration of `tpf-train distill`: the fusion adapter learns from several fusion networks (MAD)."""

from dataclasses import dataclass, field
from pathlib import Path

from omegaconf import MISSING

from tpf_model.config import load_variant, variant_names
from tpf_training.augmentation.config import AugmentationConfig
from tpf_training.checks import check_name, check_unused, check_whole
from tpf_training.config.optimiser import OptimiserConfig
from tpf_training.config.run import RunConfig
from tpf_training.losses.distillation import NORMS
from tpf_training.mad.expert_config import ExpertConfig
from tpf_training.mad.sample import USED_AUGMENTATION, USED_SAMPLING, USED_WITHOUT_TARGETS
from tpf_training.sampling.config import SamplingConfig, check_crops
from tpf_training.sampling.mixture import FRAME_SETS

DEVICES = ("auto", "cpu", "cuda")
RGBT_PAIRS = "rgbt_pairs"
EVERY = 50  # frames: some 10,000 pairs of LasHeR's training set
_RATES = OptimiserConfig(fusion=1e-3)


@dataclass(frozen=True)
class PairsConfig:
    """root: the folder of aligned pairs. cache: where a benchmark's index and the fused images of experts that are not
    folders are kept, None for the user's cache folder.

    source: what is in `root`. "rgbt_pairs": stills, `<set>/{visible,thermal}/<name>`. One of FRAME_SETS: sequences of a
    benchmark, of which `split` (see `SourceConfig`) takes some; of every `every` frames one is a pair.
    sampling, augmentation: as for fine-tuning; what there is no use for here (see `mad.sample`) cannot be set.
    """

    root: Path = MISSING
    source: str = RGBT_PAIRS
    split: Path | str | None = None
    every: int = EVERY
    cache: Path | None = None
    sampling: SamplingConfig = field(default_factory=SamplingConfig)
    augmentation: AugmentationConfig = field(default_factory=AugmentationConfig)

    def __post_init__(self):
        check_name("pairs.source", self.source, (RGBT_PAIRS, *FRAME_SETS))
        check_whole("pairs.every", self.every, 1)
        stills = self.source == RGBT_PAIRS
        if stills and (self.split, self.every) != (None, EVERY):
            sets = ", ".join(FRAME_SETS)
            raise ValueError(f"pairs.split and pairs.every have no effect on {self.source!r}; accepted with: {sets}")
        used = USED_SAMPLING + (USED_WITHOUT_TARGETS if stills else ())
        check_unused("pairs.sampling", self.sampling, SamplingConfig(), used)
        check_unused("pairs.augmentation", self.augmentation, AugmentationConfig(), USED_AUGMENTATION)


@dataclass(frozen=True)
class DistillConfig:
    """model: the variant whose adapter learns. start: an adapter's weights, None for the mean of both images.

    experts: none given means those in the stills' own folders, `<set>/experts/<expert>/<name>`.
    weighting: "adaptive" (softmax of the IoU that the auxiliary tracker reaches on each expert's images, divided by
    `temperature`), "equal", or one expert's name, which then is the only one. experts_device: auto, cpu or cuda, where
    experts that are not folders are run. auxiliary: the single-stream tracker, a
    weights file or the name of a model whose weights ship; its own fusion is not used. norm: l1 or l2.
    """

    model: str = "base"
    start: Path | None = None
    experts: list[ExpertConfig] = field(default_factory=list)  # a tuple's entries would stay plain dictionaries
    experts_device: str = "auto"
    weighting: str = "adaptive"
    temperature: float = 1.0
    auxiliary: str = "small"
    norm: str = "l1"
    pairs: PairsConfig = field(default_factory=PairsConfig)
    optimiser: OptimiserConfig = field(default_factory=lambda: _RATES)
    run: RunConfig = field(default_factory=lambda: RunConfig(epochs=35))

    def __post_init__(self):
        check_name("model", self.model, variant_names())
        check_name("experts_device", self.experts_device, DEVICES)
        if not self.experts and self.pairs.source != RGBT_PAIRS:
            raise ValueError(f"experts is empty; accepted with pairs.source {self.pairs.source!r}: one expert or more")
        check_unused("optimiser", self.optimiser, _RATES, ("fusion", "weight_decay", "warmup", "decay"))
        check_crops("pairs.sampling", self.pairs.sampling, load_variant(self.model))
        if not self.temperature > 0:
            raise ValueError(f"temperature is {self.temperature}, must be above 0")
        check_name("norm", self.norm, NORMS)
