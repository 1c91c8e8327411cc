"""Configuration of `tpf-train distill`: the fusion adapter learns from several fusion networks (MAD)."""

from dataclasses import dataclass, field
from pathlib import Path

from omegaconf import MISSING

from tpf_training.config.optimiser import OptimiserConfig
from tpf_training.config.run import RunConfig
from tpf_training.mad.expert_config import ExpertConfig


@dataclass(frozen=True)
class PairsConfig:
    """root: the folder of aligned pairs, `<set>/{visible,thermal}/<name>.jpg`, and, for experts of kind "folder" that name
    no path, `<set>/experts/<expert>/<name>.jpg`. cache: folder for the fused images of the other kinds.
    """

    root: Path = MISSING
    cache: Path | None = None


@dataclass(frozen=True)
class DistillConfig:
    """model: the variant whose adapter learns.

    experts: by name. weighting: "adaptive" (softmax of the IoU that the auxiliary tracker reaches on each expert's
    images), "equal", or one expert's name. auxiliary: the auxiliary single-stream tracker, a weights file or the name
    of a model whose weights ship; its own adapter is not used. temperature: of the softmax. start: an adapter's weights, None for the mean of
    both images.
    """

    model: str = "base"
    experts: dict[str, ExpertConfig] = field(default_factory=dict)
    weighting: str = "adaptive"
    temperature: float = 1.0
    auxiliary: str = "small"
    start: Path | None = None
    pairs: PairsConfig = field(default_factory=PairsConfig)
    optimiser: OptimiserConfig = field(default_factory=lambda: OptimiserConfig(fusion=1e-3))
    run: RunConfig = field(default_factory=lambda: RunConfig(epochs=35))
