"""The message_filters policy: the real package where it is installed, and the advice where it is not."""

import importlib.util

import pytest

from tpf_ros.synchroniser import open_synchroniser

MS = 1_000_000
INSTALLED = importlib.util.find_spec("message_filters") is not None


def test_message_filters_pairs_what_is_near_or_says_how_to_get_it():
    if not INSTALLED:
        with pytest.raises(ImportError, match="install ros-.*-message-filters.*or use sync.policy: nearest"):
            open_synchroniser("message_filters", 20 * MS, 0, 500 * MS)
        return
    synchroniser = open_synchroniser("message_filters", 20 * MS, -40 * MS, 500 * MS)
    pairs = []
    for k in range(90):
        stamp = 1 + k * 33 * MS
        assert synchroniser.add_visible(stamp, k, stamp) == []
        if k % 3 == 0:
            pairs += synchroniser.add_thermal(stamp + 43 * MS, k, stamp + 5 * MS)
    assert [(pair.visible, pair.thermal) for pair in pairs] == [(k, k) for k in range(0, 90, 3)]
    assert {pair.difference for pair in pairs} == {3 * MS}
    assert synchroniser.visible.unpaired == 60 and synchroniser.finish() == []
    late = [synchroniser.add_visible(10**10 + k * 33 * MS, k, 10**10 + k * 33 * MS) for k in range(30)]
    assert [pair.visible for out in late[-10:] for pair in out] == list(range(20, 30))  # alone while thermal is silent
