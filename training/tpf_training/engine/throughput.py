"""Samples a second, and the share of the time in which the device waits for the data loader."""

import time

import pytorch_lightning as lightning
from pytorch_lightning.profilers import Profiler

FETCH = "train_dataloader_next"  # what Lightning calls the wait for the next batch


class FetchTimer(Profiler):
    """A profiler that only adds up the seconds in which the training loop waits for its next batch."""

    def __init__(self):
        super().__init__()
        self.seconds = 0.0

    def start(self, action_name: str) -> None:
        if action_name.endswith(FETCH):
            self._started = time.monotonic()

    def stop(self, action_name: str) -> None:
        if action_name.endswith(FETCH):
            self.seconds += time.monotonic() - self._started


class Throughput(lightning.Callback):
    """Logs `samples_per_second` (all devices) and `data_share` (0..1) of the last `every` steps of an epoch.

    fetching: the trainer's profiler.
    """

    def __init__(self, samples_per_step: int, every: int, fetching: FetchTimer):
        self._samples, self._every, self._fetching = samples_per_step, every, fetching

    def on_train_batch_start(self, trainer, module, batch, batch_index) -> None:
        if batch_index == 0:  # without the start of the loader's processes
            self._begin()

    def on_train_batch_end(self, trainer, module, outputs, batch, batch_index) -> None:
        self._steps += 1
        if self._steps < self._every:
            return
        seconds = time.monotonic() - self._since
        samples = self._samples * trainer.world_size * self._steps / seconds
        share = (self._fetching.seconds - self._fetched) / seconds
        module.log_dict({"samples_per_second": samples, "data_share": share}, prog_bar=True)
        self._begin()

    def _begin(self) -> None:
        self._since, self._fetched, self._steps = time.monotonic(), self._fetching.seconds, 0
