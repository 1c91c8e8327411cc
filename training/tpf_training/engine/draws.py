"""Numbered draws: sample number i is the same in every run of one seed, on however many devices and workers."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol

import cv2
import numpy as np
import torch
from torch import distributed
from torch.utils.data import DataLoader, Dataset, Sampler

from tpf_training.config.run import RunConfig
from tpf_training.datasets.record import DatasetError


class SampleSource(Protocol):
    """An endless source of samples."""

    def sample(self, rng: np.random.Generator):
        """The sample that the state of `rng` stands for."""


class Draws(Dataset):
    """Any sample of an endless source, by its number."""

    def __init__(self, source: SampleSource, seed: int):
        self._source, self._seed = source, seed

    def __getitem__(self, number: int):
        return self._source.sample(np.random.default_rng((self._seed, number)))


class EpochNumbers(Sampler[int]):
    """The numbers of one epoch's draws, dealt to the devices in turn. Lightning tells it the epoch (`set_epoch`)."""

    def __init__(self, per_epoch: int):
        self._per_epoch, self._epoch = per_epoch, 0

    def set_epoch(self, epoch: int) -> None:
        self._epoch = epoch

    def __iter__(self) -> Iterator[int]:
        rank, devices = _place()
        first = self._epoch * self._per_epoch
        return iter(range(first + rank, first + len(self) * devices, devices))

    def __len__(self) -> int:
        return self._per_epoch // _place()[1]


def make_loader(source: SampleSource, collate: Callable, config: RunConfig) -> DataLoader:
    """Batches of `config.batch` for this device."""
    # Before the processes are forked: OpenCV's threads do not survive a fork, and several are in each other's way.
    cv2.setNumThreads(1)
    return DataLoader(
        Draws(source, config.seed),
        batch_size=config.batch,
        sampler=EpochNumbers(config.samples_per_epoch),
        collate_fn=collate,
        drop_last=True,
        num_workers=config.workers,
        persistent_workers=config.workers > 0,
        prefetch_factor=4 if config.workers else None,
        pin_memory=torch.cuda.is_available(),
    )


@contextmanager
def worker_errors() -> Iterator[None]:
    """Turns what PyTorch makes of a DatasetError in a loading process, its traceback as text, back into that error."""
    try:
        yield
    except DatasetError as error:
        raise DatasetError(str(error).rpartition(f"{DatasetError.__name__}: ")[2].strip()) from error


def _place() -> tuple[int, int]:
    """This process's rank, and the number of processes."""
    if distributed.is_available() and distributed.is_initialized():
        return distributed.get_rank(), distributed.get_world_size()
    return 0, 1
