"""The images of two sources in order of arrival, and what pairs them: stamps for rosbags, numbers for all others."""

import heapq
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from tpf_ros.sources.bag import BagSource
from tpf_ros.sources.folder import FolderSource, check_numbers
from tpf_ros.sources.source import Item, Modality, Source, SourceError
from tpf_ros.synchroniser import Pair, Synchroniser


@dataclass(frozen=True)
class Arrival:
    """An image of one camera, arriving at the moment `now`, ns on a clock common to both."""

    modality: Modality
    item: Item
    now: int


class NumberPairing:
    """Pairs each visible image with the thermal one after it; used where `Synchroniser` has no stamps to go by."""

    def add_visible(self, stamp: int, frame: Any, now: int) -> list[Pair]:
        self._waiting = (stamp, frame)
        return []

    def add_thermal(self, stamp: int, frame: Any, now: int) -> list[Pair]:
        visible_stamp, visible = self._waiting
        return [Pair(visible, frame, visible_stamp, stamp)]

    def finish(self) -> list[Pair]:
        return []


def open_pairing(
    visible: Source, thermal: Source, synchroniser: Synchroniser
) -> tuple[Iterator[Arrival], Synchroniser | NumberPairing]:
    """All arrivals, and what to add them to. SourceError for one topic given twice, or numbers that do not match.

    Two videos are paired by number even if they have stamps: whether both started at the same moment, nobody knows.
    """
    if isinstance(visible, BagSource) and isinstance(thermal, BagSource):
        if visible.name == thermal.name:
            raise SourceError(f"the visible and the thermal input are both {visible.name}; each needs its own topic")
        return _as_recorded(visible, thermal), synchroniser
    check_pairs(visible, thermal)
    return _in_turn(visible, thermal), NumberPairing()


def check_pairs(visible: Source, thermal: Source) -> None:
    """SourceError where the two sources cannot be paired by number."""
    if visible.count != thermal.count:
        raise SourceError(
            f"{visible.name} has {visible.count} images and {thermal.name} has {thermal.count}: they are paired by "
            "number, so the counts must be equal (only rosbags are paired by stamp)"
        )
    if isinstance(visible, FolderSource) and isinstance(thermal, FolderSource):
        check_numbers(visible, thermal)


def _as_recorded(visible: Source, thermal: Source) -> Iterator[Arrival]:
    streams = (
        (Arrival("visible", item, item.arrival_ns) for item in visible),
        (Arrival("thermal", item, item.arrival_ns) for item in thermal),
    )
    return heapq.merge(*streams, key=lambda arrival: arrival.now)


def _in_turn(visible: Source, thermal: Source) -> Iterator[Arrival]:
    """First visible, first thermal, second visible, and so on, by the visible images' stamps."""
    thermal_items = iter(thermal)
    for number, item in enumerate(visible):
        partner = next(thermal_items, None)
        if partner is None:
            raise SourceError(f"{thermal.name} ends after {number} images, before {visible.name}")
        yield Arrival("visible", item, item.stamp_ns)
        yield Arrival("thermal", partner, item.stamp_ns)
    if next(thermal_items, None) is not None:
        raise SourceError(f"{visible.name} ends after {visible.count} images, before {thermal.name}")
