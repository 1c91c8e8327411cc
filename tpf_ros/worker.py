"""The one thread that runs the model. It knows no ROS: frames and requests come in, a `Result` goes out for each."""

import threading
import time
import traceback
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from tpf_model.boxes import Box
from tpf_model.crop import Crop
from tpf_model.frame import Frame
from tpf_model.registration import Registration
from tpf_model.runtime import TPFSession
from tpf_model.tracker import Estimate, State, Tracker, fuse_frame
from tpf_ros.frame_buffer import BufferedFrame, FrameBuffer
from tpf_ros.mailbox import Mailbox
from tpf_ros.modality_health import Health
from tpf_ros.parameters import Settings

_CATCH_UP_SPEED = 2  # seconds of video per second, after an initialisation in the past
_REMEMBERED_REGIONS = 512

BothHealth = tuple[Health, Health]  # visible, thermal
_BOTH_SILENT: BothHealth = (Health.SILENT, Health.SILENT)


@dataclass(frozen=True)
class Source:
    """What belongs to a buffered frame: the `number` of its arrival, and what the messages and the pairing said."""

    number: int
    frame_id: str  # of the camera whose pixels the box is in: the visible one, or, until that is known, the thermal one
    difference: int | None  # ns, see `Pair`
    health: BothHealth


@dataclass(frozen=True)
class Result:
    """What is known after the frame `seen`, the newest processed (None before the first; its note is a `Source`).

    box: in visible pixels of an image of `size` (width, height); None without a target. score: 0..1.
    stale: nothing has come since. frame: what can be used of `seen`; None where no image was usable.
    registration: by which it was processed. estimate: None where the tracker did not run: without a target, switched
    off, failed, stale.
    fuse: makes the whole fused frame, (H, W, 3) uint8 RGB, at the cost of a pass of the fusion; None without `frame`.
    """

    seen: BufferedFrame | None
    health: BothHealth
    state: State
    id: int
    box: Box | None
    score: float
    size: tuple[int, int]
    registration: Registration
    stale: bool = False
    frame: Frame | None = None
    estimate: Estimate | None = None
    fuse: Callable[[], np.ndarray] | None = None


class Worker:
    """Runs the tracker over the newest frame, and what is asked of it, in a thread of its own.

    `health()` tells both cameras' health now. `publish(result)` and `report(text)` are called in the worker's thread.
    All public methods are for other threads and return at once. Of several requests of a kind that come during one
    forward pass the last counts, and a frame that comes while the last one waits replaces it: nothing queues up.
    """

    def __init__(
        self,
        session: TPFSession,
        settings: Settings,
        registration: Registration | None,
        buffer: FrameBuffer,
        health: Callable[[], BothHealth],
        publish: Callable[[Result], None],
        report: Callable[[str], None],
    ):
        self.enabled = True  # while not, the state is IDLE, no model runs and the target is kept
        self.state = State.IDLE
        self.processed = 0  # frames, each once
        self.dropped = 0  # frames passed over because a newer one was there
        self.failed = 0  # frames and initialisations in which the tracker raised an error
        self.busy_since: float | None = None  # time.monotonic() of the start of the present frame
        self._buffer, self._health, self._publish, self._report = buffer, health, publish, report
        self._session = session
        self._tracker = Tracker(session)
        self._apply(settings, registration)
        self._mailbox: Mailbox[BufferedFrame] = Mailbox()
        self._requests: dict[str, Callable[[], None]] = {}
        self._lock = threading.Lock()
        self._regions: deque[tuple[int, Crop]] = deque(maxlen=_REMEMBERED_REGIONS)
        self._newest = 0  # number of the newest frame processed
        self._seen: BufferedFrame | None = None  # the frame last looked at
        self._published_at = time.monotonic()
        self._id = 0
        self._box: Box | None = None  # the last one believed
        self._tracked: Frame | None = None  # the last frame that the tracker ran on; the box is in its pixels
        self._tracked_at = 0  # its time, ns
        self._thread = threading.Thread(target=self._run, name="tpf_worker", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """End the thread, after the forward pass that is running."""
        self._mailbox.close()
        self._thread.join()

    def offer(self, seen: BufferedFrame) -> None:
        """Process a frame of the buffer, unless a newer one comes before its turn."""
        self._mailbox.put(seen)

    def regions(self) -> list[tuple[int, Crop]]:
        """Stamps (ns) and searched regions, which the fused images show, of the last frames with a target."""
        return list(self._regions)

    def init(self, seen: BufferedFrame, box: Box, target_id: int) -> None:
        """Take up the target in `box` (visible pixels) of a buffered frame, and catch up with the newest."""
        self._request("target", lambda: self._init(seen, box, target_id))

    def reset(self) -> None:
        """Forget the target."""
        self._request("target", self._reset)

    def enable(self, enabled: bool) -> None:
        """Switch tracking on or off."""
        self.enabled = enabled
        self._mailbox.wake()

    def apply(self, settings: Settings, registration: Registration | None) -> None:
        """Use new settings from the next frame on. registration None: not known, so thermal images are not used."""
        self._request("settings", lambda: self._apply(settings, registration))

    def _request(self, kind: str, action: Callable[[], None]) -> None:
        with self._lock:
            self._requests[kind] = action
        self._mailbox.wake()

    def _meet(self, kind: str) -> None:
        """Do what was last requested of that kind, if anything was."""
        with self._lock:
            action = self._requests.pop(kind, None)
        if action is not None:
            action()

    def _run(self) -> None:
        while True:
            seen = self._mailbox.take(self._timeout)
            if self._mailbox.closed:
                return
            try:
                self._step(seen)
            except Exception as error:  # of the model or the device: the next frame is tried again
                self.failed += 1
                self._report(f"the tracker failed: {error}\n{traceback.format_exc()}")
                self._emit(State.ERROR)
            self.busy_since = None

    def _step(self, seen: BufferedFrame | None) -> None:
        self._meet("settings")  # first, for an initialisation takes the newest, and may fail
        self._meet("target")
        forgotten = self.state is not State.IDLE and not self._has_target()
        if seen is not None and seen.note.number > self._newest:  # else catching up has been there
            self._process(seen)
        elif forgotten or time.monotonic() - self._published_at >= self._timeout:
            self._emit_stale()

    def _apply(self, settings: Settings, registration: Registration | None) -> None:
        self._timeout = settings.output.timeout
        self._registration = registration
        self._tracker.configure(settings.tracker, registration or Registration.identity())

    def _reset(self) -> None:
        self._tracker.reset()
        self._box = None

    def _init(self, seen: BufferedFrame, box: Box, target_id: int) -> None:
        begin, newest = self._look_at(seen), self._buffer.find(0).time
        self._reset()
        self._id = target_id
        # The box says that the operator sees something there, whatever the health.
        frame = self._usable(seen) or seen.frame
        estimate = self._tracker.init(frame, box)
        self._tracked, self._tracked_at = frame, seen.time
        if self._health() == _BOTH_SILENT:  # the frame may be of any time ago
            self._box = estimate.box
            self._emit_stale()
        else:
            self._emit(estimate.state, frame, estimate)
        self._catch_up(seen, begin, newest)

    def _catch_up(self, seen: BufferedFrame, begin: float, newest: int) -> None:
        """Follow the target from a past frame to the newest, by steps of twice the time that the last step took.

        begin, newest: when the last step began, and the time of the newest frame then: stamps may run faster than time.
        """
        while not self._mailbox.closed and "target" not in self._requests:
            self._meet("settings")
            rest = [one for one in self._buffer.since(seen.time) if one.note.number > seen.note.number]
            if not rest:
                return
            spent = max(int((time.monotonic() - begin) * 1e9), rest[-1].time - newest)
            due = seen.time + _CATCH_UP_SPEED * spent
            if due >= rest[-1].time and rest[-1].note.number > self._newest:
                return  # it is in the mailbox, or will be
            begin, newest = time.monotonic(), rest[-1].time
            seen = next((one for one in rest if one.time >= due), rest[-1])
            self._process(seen)

    def _process(self, seen: BufferedFrame) -> None:
        self._look_at(seen)
        frame = self._usable(seen)
        if not self._has_target():
            self._emit(State.IDLE, frame)
        elif frame is None:
            self._emit(State.ERROR)
        else:
            estimate = self._track(frame, seen.time)
            self._emit(estimate.state, frame, estimate)

    def _track(self, frame: Frame, time: int) -> Estimate:
        if frame.size != self._tracked.size:
            self._tracker.resize(frame.size, self._box_in(frame.size))
        estimate = self._tracker.track(frame, (time - self._tracked_at) * 1e-9)
        self._tracked, self._tracked_at = frame, time
        return estimate

    def _box_in(self, size: tuple[int, int]) -> Box:
        """The box in the pixels of an image of another size: the first visible one, or of a camera switched over."""
        last = self._tracked
        wide, high = size[0] / last.size[0], size[1] / last.size[1]
        thermal_size = None if last.thermal is None else last.thermal.shape[::-1]
        if last.visible is None and self._registration and last.size == self._registration.extent(thermal_size):
            # No visible image had come: the box is where the registration puts it for one of that size.
            before, now = (self._registration.matrix(thermal_size, one) for one in (last.size, size))
            wide, high, _ = np.diag(now @ np.linalg.inv(before))
        x, y, w, h = self._box
        return x * wide, y * high, w * wide, h * high

    def _look_at(self, seen: BufferedFrame) -> float:
        self._seen = seen
        number = seen.note.number
        if number > self._newest:  # else it is looked at again, for a new target
            self.processed += 1
            self.dropped += number - self._newest - 1
            self._newest = number
        self.busy_since = time.monotonic()
        return self.busy_since

    def _has_target(self) -> bool:
        return self.enabled and self._tracker.state is not State.IDLE

    def _emit_stale(self) -> None:
        """No frame came: the target is not seen. Where both cameras are silent nothing can see it."""
        if not self._has_target():
            state = State.IDLE
        elif self._health() == _BOTH_SILENT:
            state = State.ERROR
        else:
            state = State.COASTING if self.state is State.TRACKING else self.state
        self._emit(state, None if self._seen is None else self._usable(self._seen), stale=True)

    def _emit(
        self, state: State, frame: Frame | None = None, estimate: Estimate | None = None, stale: bool = False
    ) -> None:
        if estimate is not None:
            self._box = estimate.box
            self._regions.append((self._seen.stamp, estimate.crop))
        self.state = state
        registration = self._registration or Registration.identity()
        result = Result(
            self._seen,
            self._health() if stale or self._seen is None else self._seen.note.health,
            state,
            self._id,
            None if state is State.IDLE else self._box,
            0.0 if estimate is None else estimate.score,
            (0, 0) if self._seen is None else self._seen.frame.size,
            registration,
            stale,
            frame,
            estimate,
            None if frame is None or not self.enabled else lambda: fuse_frame(self._session, frame, registration),
        )
        self._publish(result)
        self._published_at = time.monotonic()

    def _usable(self, seen: BufferedFrame) -> Frame | None:
        """The frame without the images of cameras in bad health; None without any image."""
        ok = [health == Health.OK for health in seen.note.health]
        visible = seen.frame.visible if ok[0] else None
        # Without a registration a thermal image would be fused at a wrong place.
        thermal = seen.frame.thermal if ok[1] and self._registration is not None else None
        return None if visible is None and thermal is None else Frame(visible, thermal, seen.frame.size)
