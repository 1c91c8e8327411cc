"""Configuration of `tpf-train finetune`: the tracker on the task, with or without decoupled representations (DRF)."""

import dataclasses
from dataclasses import dataclass, field
from pathlib import Path

from tpf_model.config import load_variant, variant_names
from tpf_training.checks import check_name
from tpf_training.config.data import DataConfig
from tpf_training.config.optimiser import OptimiserConfig
from tpf_training.config.run import RunConfig
from tpf_training.sampling.config import check_crops


@dataclass(frozen=True)
class StartConfig:
    """What the network starts from; random where all are None.

    network: a whole network, a weights file or the name of a model whose weights ship; or
    larger: the same of a larger model, of whose weights some are kept (`weight_selection`); or
    pretrained: a checkpoint of another project or a plain ViT, see `initial_weights`.
    fusion: an adapter's weights that `tpf-train distill` made; None keeps the network's own.
    """

    network: str | None = None
    larger: str | None = None
    pretrained: Path | None = None
    fusion: Path | None = None

    def __post_init__(self):
        given = [name for name in ("network", "larger", "pretrained") if getattr(self, name) is not None]
        if len(given) > 1:
            raise ValueError(f"start.{given[0]} and start.{given[1]} are both given; it starts from one")


@dataclass(frozen=True)
class DRFConfig:
    """Decoupled representation fine-tuning: loss = task + weight (repulsion + reconstruction).

    visible, thermal: whether that modality has an auxiliary branch.
    margin: cosine similarity of task and irrelevant features up to which they do not repel each other. decoder_width,
    decoder_depth: of the auxiliary branches' decoders. `frozen_blocks` holds for the auxiliary encoders, too.
    """

    enabled: bool = True
    repulsion: bool = True
    reconstruction: bool = True
    weight: float = 1.0
    visible: bool = True
    thermal: bool = True
    margin: float = 0.0
    decoder_width: int = 512
    decoder_depth: int = 4

    def __post_init__(self):
        if self.enabled and not (self.repulsion or self.reconstruction):
            raise ValueError("drf.repulsion and drf.reconstruction are both off; set drf.enabled=false instead")
        if self.weight < 0:
            raise ValueError(f"drf.weight is {self.weight}, must be 0 or more")
        if self.enabled and not (self.visible or self.thermal):
            raise ValueError("drf.visible and drf.thermal are both off; set drf.enabled=false instead")
        if not -1 <= self.margin < 1:
            raise ValueError(f"drf.margin is {self.margin}, must be a cosine, -1 or more and below 1")
        if self.decoder_width < 32 or self.decoder_width % 32:
            raise ValueError(f"drf.decoder_width is {self.decoder_width}, must be a multiple of 32")
        if self.decoder_depth < 1:
            raise ValueError(f"drf.decoder_depth is {self.decoder_depth}, must be 1 or more")


@dataclass(frozen=True)
class TeacherConfig:
    """A larger network whose encoder is imitated: loss = ... + weight x distillation.

    network: a weights file, or the name of a model whose weights ship.
    """

    network: str = "small"
    weight: float = 4.0


@dataclass(frozen=True)
class FinetuneConfig:
    """model: a variant of tpf_model; fusion: pfa or addition.

    frozen_blocks: the first ones of the encoder, kept as they are, and the patch embedding before them.
    """

    model: str = "base"
    fusion: str = "pfa"
    frozen_blocks: int = 0
    start: StartConfig = field(default_factory=StartConfig)
    data: DataConfig = field(default_factory=DataConfig)
    drf: DRFConfig = field(default_factory=DRFConfig)
    teacher: TeacherConfig | None = None
    optimiser: OptimiserConfig = field(default_factory=OptimiserConfig)
    run: RunConfig = field(default_factory=RunConfig)

    def __post_init__(self):
        check_name("model", self.model, variant_names())
        model = dataclasses.replace(load_variant(self.model), fusion=self.fusion)
        check_crops("data.sampling", self.data.sampling, model)
        depth = model.depth
        if not 0 <= self.frozen_blocks <= depth:
            raise ValueError(f"frozen_blocks is {self.frozen_blocks}, model {self.model!r} has 0 to {depth}")
