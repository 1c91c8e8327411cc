"""Draws: every device gets samples of its own, and together they get those that one device would get."""

import pytest

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
