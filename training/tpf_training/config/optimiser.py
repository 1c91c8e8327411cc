"""AdamW's learning rates and their course over a run."""

from dataclasses import dataclass


@dataclass(frozen=True)
class OptimiserConfig:
    """Peak learning rates of the parts; 0 keeps a part as it is. The defaults are the paper's fine-tuning.

    The rates rise linearly over the first `warmup` of a run's steps, stay, and fall linearly to zero over the last
    `decay` of them (fractions of the run).
    """

    fusion: float = 5e-6
    encoder: float = 5e-6
    head: float = 5e-5
    auxiliary: float = 5e-5
    weight_decay: float = 1e-4
    warmup: float = 0.0
    decay: float = 0.2

    def __post_init__(self):
        for name in ("fusion", "encoder", "head", "auxiliary", "weight_decay"):
            if getattr(self, name) < 0:
                raise ValueError(f"optimiser.{name} is {getattr(self, name)}, must be 0 or more")
        for name in ("warmup", "decay"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"optimiser.{name} is {getattr(self, name)}, must be a fraction of the run, 0..1")

    def factor(self, step: int, steps: int) -> float:
        """What the peak rates are multiplied with at `step` of `steps`, counted from 0."""
        rise = (step + 1) / max(1.0, self.warmup * steps)
        fall = (steps - step) / max(1.0, self.decay * steps)
        return min(1.0, rise, fall)
