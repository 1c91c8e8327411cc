"""Runs a phase with PyTorch Lightning: run folder, checkpoints, moving average, logs, and going on after an interruption."""

import dataclasses
from collections.abc import Callable
from pathlib import Path

import pytorch_lightning as lightning
from omegaconf import OmegaConf
from pytorch_lightning.callbacks import LearningRateMonitor, ModelCheckpoint, TQDMProgressBar
from pytorch_lightning.loggers import TensorBoardLogger
from torch import nn
from torch.utils.data import DataLoader

from tpf_training.config.load import ConfigError
from tpf_training.config.run import RunConfig
from tpf_training.engine.average import MovingAverage
from tpf_training.engine.pictures import LogPictures
from tpf_training.engine.throughput import Throughput

CHECKPOINT = "checkpoints/last.ckpt"
# May differ when a run goes on: what they change is not what is learnt.
FREE_KEYS = ("run.devices", "run.nodes", "run.accelerator", "run.workers", "run.log_every", "data.root", "data.cache")


class WriteWeights(lightning.Callback):
    """Calls `write(averaged learner, step)` after every epoch, on the first device only."""

    def __init__(self, average: MovingAverage, write: Callable[[nn.Module, int], None]):
        self._average, self._write = average, write

    def on_train_epoch_end(self, trainer, module) -> None:
        if trainer.is_global_zero:
            self._write(self._average.learner, trainer.global_step)


def prepare_run(config, resume: bool) -> Path | None:
    """Make the folder of a new run, or return the checkpoint that an interrupted one goes on from.

    config: a dataclass with `run`. FileExistsError where a new run's folder holds one; ConfigError where there is
    nothing to resume, or `config` is not what the run was started with.
    """
    folder = config.run.folder
    if folder is None:
        raise ConfigError("run.folder is missing: name a folder for the checkpoints, logs and weights of this run")
    record, checkpoint = folder / "config.yaml", folder / CHECKPOINT
    if not resume:
        if record.exists():
            raise FileExistsError(f"{folder} holds a run: --resume goes on with it, another run.folder starts a new one")
        folder.mkdir(parents=True, exist_ok=True)
        OmegaConf.save(OmegaConf.structured(config), record)
        return None
    if not record.is_file():
        raise ConfigError(f"{folder}: there is no run to resume")
    changed = _changes(OmegaConf.load(record), OmegaConf.create(OmegaConf.to_yaml(OmegaConf.structured(config))))
    if changed:
        raise ConfigError(f"{folder}: the run was started with other values of {', '.join(changed)}; see {record}")
    return checkpoint if checkpoint.is_file() else None


def fit(
    module: lightning.LightningModule,
    loader: DataLoader,
    config: RunConfig,
    write_weights: Callable[[nn.Module, int], None],
    checkpoint: Path | None,
) -> None:
    """Train `module`, from `checkpoint` on where there is one."""
    lightning.seed_everything(config.seed, workers=True)
    average = MovingAverage(config.average)
    trainer = lightning.Trainer(
        accelerator=config.accelerator,
        devices=int(config.devices) if config.devices.isdecimal() else config.devices,
        num_nodes=config.nodes,
        precision=config.precision,
        max_epochs=config.epochs,
        gradient_clip_val=config.gradient_clip,
        log_every_n_steps=config.log_every,
        deterministic="warn",
        use_distributed_sampler=False,  # `EpochNumbers` deals the samples itself
        sync_batchnorm=True,
        default_root_dir=config.folder,
        logger=TensorBoardLogger(config.folder, name="tensorboard", version=""),
        callbacks=[
            average,
            WriteWeights(average, write_weights),
            Throughput(config.batch, config.log_every),
            LogPictures(),
            LearningRateMonitor("step"),
            TQDMProgressBar(refresh_rate=config.log_every),
            ModelCheckpoint(config.folder / "checkpoints", filename="last", enable_version_counter=False),
        ],
    )
    trainer.fit(module, loader, ckpt_path=checkpoint, weights_only=True)


def _changes(before, now, prefix: str = "") -> list[str]:
    """The keys, but for FREE_KEYS, whose values differ."""
    found = []
    for key in sorted({*before, *now}):
        name = f"{prefix}{key}"
        ours, theirs = before.get(key), now.get(key)
        if OmegaConf.is_dict(ours) and OmegaConf.is_dict(theirs):
            found += _changes(ours, theirs, f"{name}.")
        elif ours != theirs and name not in FREE_KEYS:
            found.append(name)
    return found
