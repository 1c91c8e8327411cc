"""AdamW over parts of a model that learn at different rates, with the schedule of `OptimiserConfig`."""

import torch
from torch import nn

from tpf_training.config import ConfigError
from tpf_training.config.optimiser import OptimiserConfig


def make_optimiser(parts: list[tuple[nn.Module, float]], config: OptimiserConfig, steps: int) -> dict:
    """What Lightning's `configure_optimizers` returns. parts: each with its peak rate; frozen parameters are left out.

    ConfigError where nothing is left to learn.
    """
    groups = [{"params": [p for p in part.parameters() if p.requires_grad], "lr": rate} for part, rate in parts if rate]
    groups = [group for group in groups if group["params"]]
    if not groups:
        raise ConfigError("nothing learns: every rate of `optimiser` is 0, or everything is frozen")
    optimiser = torch.optim.AdamW(groups, weight_decay=config.weight_decay)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: config.factor(step, steps))
    return {"optimizer": optimiser, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}
