"""Tracking in recorded images, pair by pair, with the node's own parts: nothing is dropped, nothing depends on the clock."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain

import numpy as np

from tpf_model.boxes import Box, validate_box
from tpf_model.frame import Frame
from tpf_model.normalise import ThermalNormaliser
from tpf_model.registration import Registration
from tpf_model.runtime import TPFSession, open_session
from tpf_model.tracker import Tracker, fuse_frame
from tpf_ros.boxes_csv import BoxRow
from tpf_ros.parameters import Settings, make_normaliser, make_registration
from tpf_ros.sources import Source, SourceError
from tpf_ros.sources.pairing import ItemPair, pair_sources
from tpf_ros.synchroniser import Synchroniser, open_synchroniser


@dataclass(frozen=True)
class Loaded:
    """One pair: its number from 0, its stamp in ns, its images."""

    index: int
    stamp_ns: int
    frame: Frame


class OfflineTracker:
    """Tracks one target through two sources; iterating yields (images, boxes.csv row), once.

    visible, thermal: see `open_source`. box: the target in pair number `start`, visible pixels. end: number of the last
    pair, None for all. Reads the first images and loads the model; raises ValueError (SourceError, WeightsError, ...)
    where something cannot be used, SourceError too while iterating.
    """

    def __init__(
        self, visible: Source, thermal: Source, settings: Settings, box: Box, start: int = 0, end: int | None = None
    ):
        registration = make_registration(settings)
        if registration is None:
            raise ValueError("registration.method is plane, which needs camera_info; use homography for recordings")
        self.registration: Registration = registration
        self.rate = visible.rate
        last = min(visible.count, thermal.count) - 1
        self.total = (last if end is None else min(end, last)) - start + 1  # pairs to come, at most
        pairs = pair_sources(visible, thermal, _synchroniser(settings))
        loaded = _load(pairs, make_normaliser(settings), start, end)
        first = next(loaded)
        self._box = validate_box(box, first.frame.size)
        self._loaded = chain([first], loaded)
        self._session = _open_session(settings)
        self._tracker = Tracker(self._session, settings.tracker, registration)

    def __iter__(self) -> Iterator[tuple[Loaded, BoxRow]]:
        first = next(self._loaded)
        yield first, _row(first, self._tracker.init(first.frame, self._box))
        for loaded in self._loaded:
            try:
                estimate = self._tracker.track(loaded.frame)
            except ValueError as error:  # another size than before
                raise SourceError(f"frame {loaded.index}: {error}") from error
            yield loaded, _row(loaded, estimate)

    def fuse(self, frame: Frame) -> np.ndarray:
        """The whole frame fused, (H, W, 3) uint8 RGB."""
        return fuse_frame(self._session, frame, self.registration)


def _synchroniser(settings: Settings) -> Synchroniser:
    seconds = (settings.sync.max_difference, settings.sync.thermal_offset, settings.health.silent_after)
    return open_synchroniser(settings.sync.policy, *(round(value * 1e9) for value in seconds))


def _open_session(settings: Settings) -> TPFSession:
    return open_session(
        settings.model,
        settings.device,
        settings.runtime,
        settings.weights or None,
        settings.threads,
        settings.scan,
        settings.precision,
    )


def _load(pairs: Iterator[ItemPair], normalise: ThermalNormaliser, start: int, end: int | None) -> Iterator[Loaded]:
    """Load the images from `start` to `end`, inclusive; SourceError where there are none."""
    count, size = 0, (0, 0)
    for count, pair in enumerate(pairs, start=1):
        if end is not None and pair.index > end:
            return
        if pair.index >= start:
            visible = pair.visible.load() if pair.visible else None
            thermal = normalise(pair.thermal.load()) if pair.thermal else None
            frame = Frame(visible, thermal, size)
            size = frame.size
            yield Loaded(pair.index, pair.stamp_ns, frame)
    if count <= start:
        raise SourceError(f"frame {start} is beyond the last one: there are {count}, counted from 0")


def _row(loaded: Loaded, estimate) -> BoxRow:
    return BoxRow(loaded.index, loaded.stamp_ns, estimate.box, estimate.score, estimate.state.name.lower())
