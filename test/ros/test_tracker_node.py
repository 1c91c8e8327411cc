"""The running node: its topics, its target, and what it survives."""

import pytest


@pytest.fixture(scope="module")
def tracker(start_tracker):
    tracker = start_tracker()
    tracker.wait_for_state("active")
    return tracker


def test_every_output_carries_its_source(tracker):
    stamp = tracker.show()
    target = tracker.targets[-1]
    assert target.header.frame_id == "visible_optical"
    assert target.state == target.IDLE and target.id == 0
