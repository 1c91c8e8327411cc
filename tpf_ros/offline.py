"""Tracking in recorded images with the node's own parts: the same pairs, health and boxes, but nothing is dropped."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain, takewhile

import numpy as np

from tpf_model.boxes import Box, validate_box
from tpf_model.frame import Frame
from tpf_model.registration import Registration
from tpf_model.runtime import SessionInfo
from tpf_model.tracker import State, Tracker, fuse_frame
from tpf_ros.boxes_csv import BoxRow
from tpf_ros.modality_health import Health, ModalityHealth
from tpf_ros.parameters import Settings, make_normaliser, make_registration, make_session, make_synchroniser
from tpf_ros.sources import Item, Source, SourceError
from tpf_ros.sources.pairing import open_pairing
from tpf_ros.synchroniser import Pair, Synchroniser


@dataclass(frozen=True)
class Moment:
    """One pair, or the lone image of a camera while the other one is silent.

    number: of the visible image in its source, from 0; a lone thermal image has that of the visible one before it, -1
    without any. item: the visible image's, or the lone thermal one's. time: when it was, ns, by the visible camera's
    clock. frame: all there is. usable: without the images of cameras in bad health; None if that leaves none.
    """

    number: int
    item: Item
    time: int
    frame: Frame
    usable: Frame | None


class OfflineTracker:
    """Tracks one target through two sources; iterating, once, yields (moment, line of boxes.csv).

    visible, thermal: see `open_source`. box: the target in visible image number `start`, pixels. end: the last one's
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
        if start >= visible.count:
            raise SourceError(
                f"frame {start} is beyond the last one: there are {visible.count} in {visible.name}, counted from 0"
            )
        frames = (visible.count if end is None else min(end + 1, visible.count)) - start
        self.total = round(frames * min(1, thermal.count / visible.count))  # about; lone images come on top
        self._sync, self._synchroniser = settings.sync, make_synchroniser(settings)
        moments = read_moments(visible, thermal, settings, self._synchroniser)
        first = self._find_first(moments, f"frame {start} of {visible.name}", start)
        self._box = validate_box(box, first.frame.size)
        self._moments = chain([first], takewhile(lambda moment: end is None or moment.number <= end, moments))
        self._session = make_session(settings, settings.threads)
        self._tracker = Tracker(self._session, settings.tracker, registration)
        self._tracked_at = 0  # time of the last frame that the tracker ran on, ns
        self.info: SessionInfo = self._session.info

    def __iter__(self) -> Iterator[tuple[Moment, BoxRow]]:
        box = None
        for moment in self._moments:
            state, box, score = self._step(moment, box)
            yield moment, BoxRow(moment.number, moment.item.stamp_ns, box, score, state.name.lower())

    def _step(self, moment: Moment, last: Box | None) -> tuple[State, Box, float]:
        if last is None:
            # The box says that something is to be seen, whatever the health.
            estimate = self._tracker.init(moment.usable or moment.frame, self._box)
        elif moment.usable is None:
            return State.ERROR, last, 0.0
        else:
            try:
                estimate = self._tracker.track(moment.usable, (moment.time - self._tracked_at) * 1e-9)
            except ValueError as error:  # another size than before
                raise SourceError(f"{moment.item.name}: {error}") from error
        self._tracked_at = moment.time
        return estimate.state, estimate.box, estimate.score

    def _find_first(self, moments: Iterator[Moment], name: str, start: int) -> Moment:
        """The moment of visible image `start`, called `name`; SourceError where that image is in none."""
        found = (moment for moment in moments if moment.number >= start and moment.frame.visible is not None)
        first = next(found, None)
        if first is None:
            raise SourceError(
                f"from {name} on no images can be paired: their stamps are zero, or none are within "
                f"sync.max_difference of each other{self.offset_hint('; ')}"
            )
        if first.number != start:
            hint = self.offset_hint("; ") if first.frame.thermal is None else ""
            raise SourceError(
                f"{name} is in no pair with a thermal image (see sync.max_difference), so the target cannot be given "
                f"in it; the first one from there on that can be used is frame {first.number}{hint}"
            )
        return first

    def offset_hint(self, before: str = "") -> str:
        """The sync.thermal_offset that the moments of recording suggest; empty where it is as good as set already."""
        offset = self._synchroniser.suggested_offset()
        if offset is None or abs(offset * 1e-9 - self._sync.thermal_offset) <= self._sync.max_difference:
            return ""
        seconds = f"{offset * 1e-9:.3f}"
        return f"{before}by the moments of recording, sync.thermal_offset in a --params-file should be near {seconds}"

    def fuse(self, frame: Frame) -> np.ndarray:
        """The whole frame fused, (H, W, 3) uint8 RGB."""
        return fuse_frame(self._session, frame, self.registration)


def read_moments(
    visible: Source, thermal: Source, settings: Settings, synchroniser: Synchroniser | None = None
) -> Iterator[Moment]:
    """Decode, judge, pair and normalise all images, as the node does; its clock is that of the recording.

    `synchroniser`: what is to pair rosbags, and count; that of the settings where None.
    """
    arrivals, pairing = open_pairing(visible, thermal, synchroniser or make_synchroniser(settings))
    return _moments(arrivals, pairing, settings)


def _moments(arrivals, pairing, settings: Settings) -> Iterator[Moment]:
    health, normalise = ModalityHealth(settings.health), make_normaliser(settings)
    receive = {
        "visible": (health.heard_visible, health.see_visible, pairing.add_visible),
        "thermal": (health.heard_thermal, health.see_thermal, pairing.add_thermal),
    }
    offset = round(settings.sync.thermal_offset * 1e9)
    number, size, now = -1, (0, 0), 0  # number and size of the newest visible image; time of the newest of all

    def moment(pair: Pair) -> Moment:
        visible, thermal = pair.visible, pair.thermal
        own_number, item, _ = visible or thermal
        frame = Frame(visible and visible[2], thermal and normalise(thermal[2]), size)
        time = item.stamp_ns if visible else item.stamp_ns + offset
        return Moment(own_number, item, time, frame, _usable(frame, health.visible(now), health.thermal(now)))

    for arrival in arrivals:
        heard, see, add = receive[arrival.modality]
        item, now = arrival.item, arrival.now
        pixels = item.load()
        heard(now, item.stamp_ns)
        see(pixels, item.stamp_ns)
        if arrival.modality == "visible":
            number, size = number + 1, (pixels.shape[1], pixels.shape[0])
        yield from map(moment, add(item.stamp_ns, (number, item, pixels), now))
    yield from map(moment, pairing.finish())


def _usable(frame: Frame, visible: Health, thermal: Health) -> Frame | None:
    # An image that is here is no silence, however long ago it came.
    good = (Health.OK, Health.SILENT)
    visible_image = frame.visible if visible in good else None
    thermal_image = frame.thermal if thermal in good else None
    return None if visible_image is None and thermal_image is None else Frame(visible_image, thermal_image, frame.size)
