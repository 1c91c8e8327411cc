"""The images of two sources, two by two: a rosbag's by stamp, with the node's synchroniser; all others by number."""

import heapq
from collections.abc import Iterator
from dataclasses import dataclass

from tpf_ros.sources.bag import BagSource
from tpf_ros.sources.source import Item, Source, SourceError
from tpf_ros.synchroniser import Synchroniser


@dataclass(frozen=True)
class ItemPair:
    """The `index`-th pair, counted from 0, its images still to be loaded; one is None where a camera was silent."""

    index: int
    visible: Item | None
    thermal: Item | None

    @property
    def stamp_ns(self) -> int:
        """The visible image's stamp; the thermal one's where it is alone."""
        return (self.visible or self.thermal).stamp_ns


def pair_sources(visible: Source, thermal: Source, synchroniser: Synchroniser) -> Iterator[ItemPair]:
    """Pair as the module says. SourceError where the number of images must be equal and is not.

    Two videos are paired by number even if they have stamps: whether both started at the same moment, nobody knows.
    """
    if isinstance(visible, BagSource) and isinstance(thermal, BagSource):
        return _by_stamp(visible, thermal, synchroniser)
    if visible.count != thermal.count:
        raise SourceError(
            f"{visible.name} has {visible.count} images and {thermal.name} has {thermal.count}: they are paired by "
            "number, so the counts must be equal (only rosbags are paired by stamp)"
        )
    return _by_number(visible, thermal)


def _by_stamp(visible: Source, thermal: Source, synchroniser: Synchroniser) -> Iterator[ItemPair]:
    streams = (
        ((item.arrival_ns, synchroniser.add_visible, item) for item in visible),
        ((item.arrival_ns, synchroniser.add_thermal, item) for item in thermal),
    )
    index = 0
    for arrival, add, item in heapq.merge(*streams, key=lambda entry: entry[0]):
        for pair in add(item.stamp_ns, item, arrival):
            yield ItemPair(index, pair.visible, pair.thermal)
            index += 1


def _by_number(visible: Source, thermal: Source) -> Iterator[ItemPair]:
    thermal_items = iter(thermal)
    for index, item in enumerate(visible):
        partner = next(thermal_items, None)
        if partner is None:
            raise SourceError(f"{thermal.name} ends after {index} images, before {visible.name}")
        yield ItemPair(index, item, partner)
    if next(thermal_items, None) is not None:
        raise SourceError(f"{visible.name} ends after {visible.count} images, before {thermal.name}")
