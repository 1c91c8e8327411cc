"""Samples a second, and the share of the time in which the device waits for the data loader."""

import time

import pytorch_lightning as lightning


class Throughput(lightning.Callback):
    """Logs `samples_per_second` (all devices) and `data_share` (0..1) of the last `every` steps."""

    def __init__(self, samples_per_step: int, every: int):
        self._samples, self._every = samples_per_step, every

    def on_train_epoch_start(self, trainer, module) -> None:
        self._ended = time.monotonic()
        self._steps, self._waited, self._worked = 0, 0.0, 0.0

    def on_train_batch_start(self, trainer, module, batch, batch_index) -> None:
        self._started = time.monotonic()
        self._waited += self._started - self._ended

    def on_train_batch_end(self, trainer, module, outputs, batch, batch_index) -> None:
        self._ended = time.monotonic()
        self._worked += self._ended - self._started
        self._steps += 1
        if self._steps == self._every:
            total = self._waited + self._worked
            samples = self._samples * trainer.world_size * self._steps / total
            module.log_dict({"samples_per_second": samples, "data_share": self._waited / total}, prog_bar=True)
            self._steps, self._waited, self._worked = 0, 0.0, 0.0
