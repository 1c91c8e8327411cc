"""Tracking in recorded images with the node's own parts: the same pairs, health and boxes, but nothing is dropped."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain

import numpy as np

from tpf_model.boxes import Box, validate_box
from tpf_model.frame import Frame
from tpf_model.registration import Registration
from tpf_model.runtime import TPFSession, open_session
from tpf_model.tracker import State, Tracker, fuse_frame
from tpf_ros.boxes_csv import BoxRow
from tpf_ros.modality_health import Health, ModalityHealth
from tpf_ros.parameters import Settings, make_normaliser, make_registration
from tpf_ros.sources import Source, SourceError
from tpf_ros.sources.pairing import open_pairing
from tpf_ros.synchroniser import Synchroniser, open_synchroniser


@dataclass(frozen=True)
class Moment:
    """One pair, or the lone image of a camera while the other one is silent.

    number: from 0. frame: all there is. usable: without the images of cameras in bad health; None if that leaves none.
    """

    number: int
    stamp_ns: int
    frame: Frame
    usable: Frame | None


class OfflineTracker:
    """Tracks one target through two sources; iterating, once, yields (moment, line of boxes.csv).

    visible, thermal: see `open_source`. box: the target in moment number `start`, visible pixels. end: the last one's
    number, None for all. Reads the first images and loads the model; raises ValueError (SourceError, WeightsError, ...)
    where something cannot be used, and SourceError while iterating.
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
        self.total = (last if end is None else min(end, last)) - start + 1  # about; lone images come on top
        self._synchroniser = _synchroniser(settings)
        moments = _select(read_moments(visible, thermal, settings, self._synchroniser), start, end)
        first = next(moments)
        self._box = validate_box(box, first.frame.size)
        self._moments = chain([first], moments)
        self._session = _open_session(settings)
        self._tracker = Tracker(self._session, settings.tracker, registration)

    def __iter__(self) -> Iterator[tuple[Moment, BoxRow]]:
        box = None
        for moment in self._moments:
            state, box, score = self._step(moment, box)
            yield moment, BoxRow(moment.number, moment.stamp_ns, box, score, state.name.lower())

    def _step(self, moment: Moment, last: Box | None) -> tuple[State, Box, float]:
        if last is None:
            # The box says that something is to be seen, whatever the health.
            estimate = self._tracker.init(moment.usable or moment.frame, self._box)
        elif moment.usable is None:
            return State.ERROR, last, 0.0
        else:
            try:
                estimate = self._tracker.track(moment.usable)
            except ValueError as error:  # another size than before
                raise SourceError(f"frame {moment.number}: {error}") from error
        return estimate.state, estimate.box, estimate.score

    def suggested_offset(self) -> float | None:
        """The sync.thermal_offset, s, that the moments of recording suggest; None where nothing was paired by stamp."""
        offset = self._synchroniser.suggested_offset()
        return None if offset is None else offset * 1e-9

    def fuse(self, frame: Frame) -> np.ndarray:
        """The whole frame fused, (H, W, 3) uint8 RGB."""
        return fuse_frame(self._session, frame, self.registration)


def read_moments(
    visible: Source, thermal: Source, settings: Settings, synchroniser: Synchroniser | None = None
) -> Iterator[Moment]:
    """Decode, judge, pair and normalise all images, as the node does; its clock is that of the recording.

    `synchroniser`: what is to pair rosbags, and count; that of the settings where None.
    """
    arrivals, pairing = open_pairing(visible, thermal, synchroniser or _synchroniser(settings))
    return _moments(arrivals, pairing, settings)


def _moments(arrivals, pairing, settings: Settings) -> Iterator[Moment]:
    health, normalise = ModalityHealth(settings.health), make_normaliser(settings)
    receive = {
        "visible": (health.heard_visible, health.see_visible, pairing.add_visible),
        "thermal": (health.heard_thermal, health.see_thermal, pairing.add_thermal),
    }
    number, size = 0, (0, 0)
    for arrival in arrivals:
        heard, see, add = receive[arrival.modality]
        pixels, stamp = arrival.item.load(), arrival.item.stamp_ns
        heard(arrival.now)
        see(pixels, stamp)
        if arrival.modality == "visible":
            size = pixels.shape[1], pixels.shape[0]
        for pair in add(stamp, pixels, arrival.now):
            frame = Frame(pair.visible, None if pair.thermal is None else normalise(pair.thermal), size)
            usable = _usable(frame, health.visible(arrival.now), health.thermal(arrival.now))
            yield Moment(number, pair.thermal_stamp if pair.visible is None else pair.visible_stamp, frame, usable)
            number += 1


def _usable(frame: Frame, visible: Health, thermal: Health) -> Frame | None:
    visible_image = frame.visible if visible == Health.OK else None
    thermal_image = frame.thermal if thermal == Health.OK else None
    return None if visible_image is None and thermal_image is None else Frame(visible_image, thermal_image, frame.size)


def _select(moments: Iterator[Moment], start: int, end: int | None) -> Iterator[Moment]:
    """Those from `start` to `end`, inclusive; SourceError where there are none."""
    count = 0
    for count, moment in enumerate(moments, start=1):
        if end is not None and moment.number > end:
            return
        if moment.number >= start:
            yield moment
    if not count:
        raise SourceError(
            "no images can be paired: their stamps are zero, or none are within sync.max_difference of each other"
        )
    if count <= start:
        raise SourceError(f"frame {start} is beyond the last one: there are {count}, counted from 0")


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
