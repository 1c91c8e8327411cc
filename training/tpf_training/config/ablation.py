"""Configuration of `tpf-train ablate`: variants of one training, each trained with every seed and evaluated alike."""

from dataclasses import dataclass, field
from pathlib import Path

from omegaconf import MISSING

from tpf_training.checks import check_name
from tpf_training.config.distill import DistillConfig
from tpf_training.config.finetune import FinetuneConfig
from tpf_training.evaluation.sequences import DATASETS


@dataclass(frozen=True)
class VariantConfig:
    """What differs from the plan's `distill` and `finetune`: their overrides ("key=value").

    mad: the adapter is distilled from the experts before it is fine-tuned. ndtu: the dynamic template is updated while
    tracking.
    """

    mad: bool = False
    distill: tuple[str, ...] = ()
    finetune: tuple[str, ...] = ()
    ndtu: bool = True

    def __post_init__(self):
        if self.distill and not self.mad:
            raise ValueError("a variant has overrides for distill, but mad is false")


@dataclass(frozen=True)
class AblationConfig:
    """folder: of the runs and the table. distill: needed where a variant has mad. Run folders are set for both phases.

    What the variants are evaluated on is either `clips` or `dataset`.
    clips: folders with visible.mp4, thermal.mp4 and a `<target>.csv` for each target, folders of such, or lists of
    single-modality clips (`eval.txt`). frames: evaluated of each clip, None for all.
    dataset, root, sequences: as of `tpf-eval run`; the scores are the data set's own.
    """

    folder: Path = MISSING
    clips: tuple[Path, ...] = ()
    frames: int | None = None
    dataset: str | None = None
    root: Path | None = None
    sequences: str | None = None
    seeds: tuple[int, ...] = (0, 1, 2)
    variants: dict[str, VariantConfig] = field(default_factory=dict)
    distill: DistillConfig | None = None
    finetune: FinetuneConfig = field(default_factory=FinetuneConfig)

    def __post_init__(self):
        if not self.variants:
            raise ValueError("variants is empty, must name at least one")
        if self.distill is None and any(variant.mad for variant in self.variants.values()):
            raise ValueError("a variant has mad, but the plan has no `distill`")
        if not self.seeds:
            raise ValueError("seeds is empty, must hold at least one number")
        if bool(self.clips) == bool(self.dataset):
            raise ValueError("clips and dataset: exactly one of them must be given, to evaluate on")
        if self.dataset:
            check_name("dataset", self.dataset, DATASETS)
            if self.root is None:
                raise ValueError("root is missing: the folder of the data set")
        for name in ("frames",) if self.dataset else ("root", "sequences"):
            if getattr(self, name) is not None:
                raise ValueError(f"{name} has no effect with {'dataset' if self.dataset else 'clips'}")
