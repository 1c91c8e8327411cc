"""Draws: every device gets samples of its own, and together they get those that one device would get."""

import numpy as np
import pytest
import pytorch_lightning as lightning

from tpf_training.config.run import RunConfig
from tpf_training.engine import draws


@pytest.mark.parametrize("devices", [1, 2, 3])
@pytest.mark.parametrize("epoch", [0, 5])
def test_devices_share_an_epoch_s_numbers(monkeypatch, devices, epoch):
    dealt = []
    for rank in range(devices):
        monkeypatch.setattr(draws, "_place", lambda rank=rank: (rank, devices))
        numbers = draws.EpochNumbers(12)
        numbers.set_epoch(epoch)
        assert len(numbers) == 12 // devices
        dealt += numbers
    assert sorted(dealt) == list(range(12 * epoch, 12 * epoch + 12))


class Numbers:
    """A source whose samples are plain random numbers."""

    def sample(self, rng):
        return float(rng.random())


class Listener(lightning.LightningModule):
    """Learns nothing, and remembers what it was given."""

    def __init__(self):
        super().__init__()
        self.automatic_optimization = False
        self.seen = []

    def training_step(self, batch, index):
        self.seen += batch

    def configure_optimizers(self):
        return None


def test_a_trainer_draws_other_samples_in_each_epoch(tmp_path):
    listener = Listener()
    config = RunConfig(folder=tmp_path, epochs=3, samples_per_epoch=4, batch=2, workers=0)
    quiet = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False, "enable_model_summary": False}
    trainer = lightning.Trainer(accelerator="cpu", max_epochs=3, use_distributed_sampler=False, **quiet)
    trainer.fit(listener, draws.make_loader(Numbers(), list, config))
    assert listener.seen == [float(np.random.default_rng((config.seed, number)).random()) for number in range(12)]
