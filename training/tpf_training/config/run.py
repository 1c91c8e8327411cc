"""How a phase is run: for how long, on what, and where its results go."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class RunConfig:
    """folder: of checkpoints, logs and weights; every run needs one of its own.

    epochs x samples_per_epoch samples are drawn; batch: samples a step and device. devices, nodes, accelerator,
    precision: as PyTorch Lightning's Trainer takes them ("bf16-mixed" computes encoder and head in bfloat16; the fusion
    always runs in float32; "auto": "bf16-mixed" where the device multiplies in it by itself, or else what it does).
    average: decay of the weights' moving average, which is what is exported.
    gradient_clip: largest norm. workers: data loading processes a device. log_every: steps.
    """

    folder: Path | None = None
    epochs: int = 30
    samples_per_epoch: int = 60_000
    batch: int = 16
    devices: str = "auto"
    nodes: int = 1
    accelerator: str = "auto"
    precision: str = "auto"
    average: float = 0.999
    gradient_clip: float = 1.0
    workers: int = 4
    log_every: int = 20
    seed: int = 0

    def __post_init__(self):
        for name in ("epochs", "samples_per_epoch", "batch", "nodes", "log_every"):
            if getattr(self, name) < 1:
                raise ValueError(f"run.{name} is {getattr(self, name)}, must be 1 or more")
        for name in ("gradient_clip", "workers", "seed"):
            if getattr(self, name) < 0:
                raise ValueError(f"run.{name} is {getattr(self, name)}, must be 0 or more")
        if not 0 <= self.average < 1:
            raise ValueError(f"run.average is {self.average}, must be in 0..1, below 1")
        if self.batch > self.samples_per_epoch:
            raise ValueError(f"run.batch {self.batch} is larger than run.samples_per_epoch {self.samples_per_epoch}")
