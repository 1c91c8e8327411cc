"""Runs a phase with PyTorch Lightning: folder, checkpoints, moving average, logs, going on after an interruption."""

import os
import re
from collections.abc import Callable
from pathlib import Path

import pytorch_lightning as lightning
import torch
from omegaconf import DictConfig, OmegaConf
from pytorch_lightning.callbacks import LearningRateMonitor, ModelCheckpoint, TQDMProgressBar
from pytorch_lightning.loggers import TensorBoardLogger
from pytorch_lightning.profilers import Profiler
from pytorch_lightning.utilities.exceptions import MisconfigurationException
from torch import nn
from torch.utils.data import DataLoader

from tpf_training.config.load import ConfigError, values_by_key
from tpf_training.config.run import RunConfig
from tpf_training.engine.average import MovingAverage
from tpf_training.engine.draws import worker_errors
from tpf_training.engine.pictures import LogPictures
from tpf_training.engine.precision import trainer_precision
from tpf_training.engine.throughput import FetchTimer, Throughput

CHECKPOINT = "checkpoints/last.ckpt"
# May differ when a run goes on: how it is run, and where its data and experts are, do not change what is learnt.
FREE_KEYS = re.compile(r"run\.(folder|accelerator|workers|log_every)|.*\.(root|cache)|experts\.\d+\.(path|weights)")
RECORD = "config.yaml"


class WriteRecord(lightning.Callback):
    """Writes the configuration of a new run into its folder.

    Not before all processes have started: each is the whole command, and looks first whether the folder is free.
    """

    def __init__(self, config):
        self._config = config

    def on_fit_start(self, trainer, module) -> None:
        record = self._config.run.folder / RECORD
        if trainer.is_global_zero and not record.exists():
            record.parent.mkdir(parents=True, exist_ok=True)
            OmegaConf.save(OmegaConf.structured(self._config), record)


class SameDevices(lightning.Callback):
    """A run goes on with as many samples a step as before, also where `run.devices` is auto."""

    def on_save_checkpoint(self, trainer, module, checkpoint) -> None:
        checkpoint["processes"] = trainer.world_size

    def on_load_checkpoint(self, trainer, module, checkpoint) -> None:
        if checkpoint["processes"] != trainer.world_size:
            before = f"{checkpoint['processes']} devices, now there are {trainer.world_size}"
            raise ConfigError(f"the run was started on {before}; give it as many by run.devices and run.nodes")


class WriteWeights(lightning.Callback):
    """Calls `write(averaged learner, step, devices)` after every epoch, on the first device only."""

    def __init__(self, average: MovingAverage, write: Callable[[nn.Module, int, int], None]):
        self._average, self._write = average, write

    def on_train_epoch_end(self, trainer, module) -> None:
        if trainer.is_global_zero:
            self._write(self._average.learner, trainer.global_step, trainer.world_size)


def prepare_run(config, resume: bool) -> Path | None:
    """The checkpoint that an interrupted run goes on from; None where a run starts from the beginning.

    config: a dataclass with `run`. A job that SLURM has put back into the queue goes on with the run that it began,
    without `resume`. FileExistsError where a new run's folder holds one; ConfigError where there is nothing to resume,
    or `config` is not what the run was started with.
    """
    folder = config.run.folder
    if folder is None:
        raise ConfigError("run.folder is missing: name a folder for the checkpoints, logs and weights of this run")
    record, checkpoint = folder / RECORD, folder / CHECKPOINT
    if not record.is_file():
        if resume:
            raise ConfigError(f"{folder}: there is no run to resume")
        return None
    if not resume and not _requeued():
        raise FileExistsError(f"{folder} holds a run: --resume goes on with it, another run.folder starts a new")
    changed = _changes(OmegaConf.load(record), OmegaConf.create(OmegaConf.to_yaml(OmegaConf.structured(config))))
    if changed:
        raise ConfigError(f"{folder}: the run was started with other values of {', '.join(changed)}; see {record}")
    return checkpoint if checkpoint.is_file() else None


def fit(
    module: lightning.LightningModule,
    loader: DataLoader,
    config,
    write_weights: Callable[[nn.Module, int, int], None],
    checkpoint: Path | None,
) -> None:
    """Train `module`, from `checkpoint` on where there is one. config: as for `prepare_run`.

    ConfigError for devices that are not there, too many for a batch each, or not those that `checkpoint` was made on;
    DatasetError names a file that could not be read.
    """
    run = config.run
    lightning.seed_everything(run.seed, workers=True)
    average = MovingAverage(run.average)
    fetching = FetchTimer()
    callbacks = [
        WriteRecord(config),
        SameDevices(),
        average,
        WriteWeights(average, write_weights),
        Throughput(run.batch, run.log_every, fetching),
        LogPictures(),
        LearningRateMonitor("step"),
        TQDMProgressBar(refresh_rate=run.log_every),
        ModelCheckpoint(run.folder / "checkpoints", filename="last", enable_version_counter=False),
    ]
    trainer = _trainer(run, callbacks, fetching)
    if run.samples_per_epoch // trainer.world_size < run.batch:
        total = f"{trainer.world_size} devices take {trainer.world_size * run.batch} samples a step"
        raise ConfigError(f"run.samples_per_epoch is {run.samples_per_epoch}, too few: {total}")
    # Lightning's own at SLURM's signal: of the middle of an epoch, whose samples it would draw from the first on again.
    for file in run.folder.glob("hpc_ckpt_*.ckpt"):
        file.unlink(missing_ok=True)
    with worker_errors():
        trainer.fit(module, loader, ckpt_path=checkpoint, weights_only=True)


def _trainer(run: RunConfig, callbacks: list[lightning.Callback], profiler: Profiler) -> lightning.Trainer:
    try:
        return lightning.Trainer(
            accelerator=run.accelerator,
            devices=int(run.devices) if run.devices.isdecimal() else run.devices,
            num_nodes=run.nodes,
            precision=trainer_precision(run.precision, run.accelerator),
            max_epochs=run.epochs,
            gradient_clip_val=run.gradient_clip,
            log_every_n_steps=run.log_every,
            deterministic="warn",
            use_distributed_sampler=False,  # `EpochNumbers` deals the samples itself
            sync_batchnorm=run.accelerator != "cpu" and torch.cuda.is_available(),  # PyTorch has none for CPUs
            profiler=profiler,
            default_root_dir=run.folder,
            logger=TensorBoardLogger(run.folder, name="tensorboard", version=""),
            callbacks=callbacks,
        )
    except (MisconfigurationException, ValueError) as error:
        keys = "run.accelerator, run.devices, run.nodes or run.precision"
        raise ConfigError(f"{keys} cannot be: {error}") from error


def _requeued() -> bool:
    """Whether this is a job of SLURM that has run before."""
    return int(os.environ.get("SLURM_RESTART_COUNT", "0")) > 0


def _changes(before: DictConfig, now: DictConfig) -> list[str]:
    """The keys, but for FREE_KEYS, whose values differ."""
    ours, theirs = (values_by_key(OmegaConf.to_container(settings)) for settings in (before, now))
    names = sorted(name for name in ours | theirs if not FREE_KEYS.fullmatch(name))
    return [name for name in names if ours.get(name) != theirs.get(name)]
