"""The tracker: a pure state machine over the network. No clock, no thread, no input or output."""

import enum
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from tpf_model.appearance import Appearance, first_appearance
from tpf_model.boxes import Box, centre, clip_box, is_within, moved_inside, validate_box
from tpf_model.camera_motion import Camera, Following, Motion
from tpf_model.correlation_filter import likeness_at, response_at, spectrum_of
from tpf_model.crop import Crop
from tpf_model.decode import hann_window
from tpf_model.frame import Frame
from tpf_model.pair import whole_pair
from tpf_model.registration import Registration
from tpf_model.rivals import Likeness, Rivals, peaks_of
from tpf_model.runtime.session import Located, TPFSession, fused_to_image
from tpf_model.template import TemplateRule


View = tuple[Frame, Crop, Registration]  # where a template would come from

FRAME_TIME = 1 / 30  # seconds: what a frame at the usual rate of cameras and benchmarks takes

_MARGIN = 10.0  # pixels of the box that stay in the image
_SMALLEST = 2.0  # pixels of a box's side
_UNSEEN = 0.7  # the filter's response to the target in a new frame, against that in the one it was made from
_HABIT = 0.05  # what a frame is worth to the usual response of the filter, against all before it
# What the filter responds less to, against the usual, it does not learn: mostly that is what has come in front of the
# target, and a filter that has learnt it prefers it afterwards. Where the target has changed, the usual response falls.
_KNOWN = 0.85
# Of the target's own score in the first frame: where that is low, what stands for coast_score when the filter vouches.
_RECOGNISED = 0.7
# The score in the first frame below which the network does not know the target: then the filter alone does, and this
# part of filter_trust is enough, for what is once lost is not found again.
_UNKNOWN, _ALONE = 0.3, 0.7
# A look-alike beside a target that is hidden mostly scores no worse than the target did. So what is further off than
# these sides of the box, and as many more in each frame in which nothing was believed, is believed as a lost target is.
_STEP, _SPEED = 0.7, 0.03
# ... unless the filter sees the target there, and less than this part of it where it was: then it, or the camera, was
# that fast.
_GONE = 0.15
# A hidden target is expected to go on as it went, but may have stopped: what a frame is worth to its motion against all
# before it, and what is left of that a frame later.
_DRIFT, _SLOWING = 0.2, 0.9
# Of `size_rate`, for what the network says of the size where the scale filter says how that changes. The ratio of width
# to height is the network's alone.
_SIZE_SHARE = 0.25
_LONGEST = 1.0  # seconds without a frame, after which no more is forgotten


class State(enum.IntEnum):
    """IDLE: no target. TRACKING: the box is this frame's. COASTING: none is believed, the box is where it is expected.

    LOST: that has been so for too long, the box stays there and a wider region is searched.
    ERROR: something around the tracker failed; the tracker itself never sets it.
    """

    IDLE = 0
    TRACKING = 1
    COASTING = 2
    LOST = 3
    ERROR = 4


@dataclass(frozen=True)
class TrackerConfig:
    """Scores are the network's classification scores, 0..1; intervals are tracked frames.

    Rates are for each `FRAME_TIME`: where fewer frames are seen, each counts for more.
    """

    template_interval: int = 50  # frames between two updates of the dynamic template
    template_score: float = 0.65  # a frame above it may become the dynamic template
    # How strongly the target is expected where it was. A Hann window (power 1) over four times the target is so flat in
    # its middle that a look-alike at the target's side wins with a slightly better score.
    hann_power: float = 2.0
    filter_rate: float = 0.02  # what a frame is worth to the filters (`Appearance`) against all before it; 0: none
    coast_score: float = 0.3  # below it the box is not believed ...
    # ... unless the filter responds to the target as it usually does, to this part at least: a target that turns away
    # resembles its template less and less, but still itself a moment ago. Only down to half of coast_score; for what the
    # network hardly knows even in the first frame, lower, and a smaller part is enough.
    filter_trust: float = 0.9
    # Frames for which a look-alike that vanished into the target is awaited on its other side; 0: none is followed.
    crossing_frames: int = 60
    camera_motion: bool = True  # whether the last box, and look-alikes, go with the camera's motion (`Camera`)
    lost_after: int = 30  # frames of coasting before the target is lost
    lost_growth: float = 1.05  # by how much the searched region's side grows in each lost frame
    lost_widening: float = 2.0  # the limit of that growth, after which it begins again
    recover_score: float = 0.5  # a lost target must reach it ...
    recover_frames: int = 3  # ... in so many frames in a row, at one place
    max_size_change: float = 1.5  # limit of the box's change of width and height from frame to frame, a ratio
    # How far the box's size follows the network's, a power of their ratio: a target's size changes slowly, the
    # network's idea of it from frame to frame, and what is wrong in it would become the next frame's scale. Less where
    # the scale filter says how the size changes.
    size_rate: float = 0.2
    # Whether a box takes in a coat's hem, or an aircraft's propellers, is for whoever drew it to say, and the network
    # errs for each target in its own way, mostly the same in each frame. So much of what it is wrong by in the first
    # frame, where the size is known, is made up for in all the others, a power of the ratio: not all, for the drawn box
    # has its own error, as has one look at it.
    size_calibration: float = 0.7

    def __post_init__(self):
        for name in ("template_score", "coast_score", "recover_score"):
            _require(0 <= getattr(self, name) <= 1, name, getattr(self, name), "in 0..1")
        for name in ("template_interval", "recover_frames"):
            _require(getattr(self, name) >= 1, name, getattr(self, name), ">= 1")
        for name in ("lost_growth", "lost_widening"):
            _require(1 <= getattr(self, name) <= 8, name, getattr(self, name), "in 1..8")
        _require(self.hann_power >= 0, "hann_power", self.hann_power, ">= 0")
        _require(0 <= self.filter_rate <= 1, "filter_rate", self.filter_rate, "in 0..1")
        _require(self.filter_trust > 0, "filter_trust", self.filter_trust, "> 0")
        for name in ("crossing_frames", "lost_after"):
            _require(getattr(self, name) >= 0, name, getattr(self, name), ">= 0")
        _require(self.max_size_change > 1, "max_size_change", self.max_size_change, "> 1")
        _require(0 < self.size_rate <= 1, "size_rate", self.size_rate, "in 0..1, above 0")
        _require(0 <= self.size_calibration <= 1, "size_calibration", self.size_calibration, "in 0..1")
        _require(self.recover_score >= self.coast_score, "recover_score", self.recover_score, ">= coast_score")


def _require(ok: bool, name: str, value, wanted: str) -> None:
    if not ok:
        raise ValueError(f"tracker.{name} is {value}, must be {wanted}")


@dataclass(frozen=True)
class Estimate:
    """What the tracker says about one frame.

    box: in visible pixels, where the target is expected if `state` is not TRACKING. score: this frame's best
    classification score, whether or not the box is from it. crop: the region searched. fused: that region's fused image
    as the session's handle.
    """

    box: Box
    score: float
    state: State
    crop: Crop
    fused: Tensor

    def fused_image(self) -> np.ndarray:
        """The fused search region, (S, S, 3) uint8 RGB."""
        return fused_to_image(self.fused)


class Tracker:
    """Follows one target from the box given to `init`.

    While the score is low the box keeps its size, goes on as the target went, and soon stops: a box that follows a weak
    peak leads an operator, or a gimbal, away to whatever distracts it, and a target that comes out of an occlusion
    mostly does so in the region around, four times its size. The camera's own motion moves the box as far as it moved
    the target: fully where that stood in the scene, not at all where the camera followed it. A lost target is searched
    for in a growing region without preference for its middle; a find is looked at closely, at the tracking scale, for
    some frames before it is believed.
    """

    def __init__(
        self,
        session: TPFSession,
        config: TrackerConfig = TrackerConfig(),
        registration: Registration = Registration.identity(),
    ):
        self._session = session
        self.configure(config, registration)
        self.reset()

    @property
    def state(self) -> State:
        return self._state

    def configure(self, config: TrackerConfig, registration: Registration) -> None:
        """Change both from the next frame on and keep the target.

        Its template rule and the calibration of its size change with the next `init`.
        """
        self._config = config
        self._registration = registration
        self._camera = Camera()
        cells = self._session.config.search_size // self._session.config.patch
        self._window = hann_window(cells, config.hann_power)
        self._no_window = np.ones_like(self._window)

    def reset(self) -> None:
        """Forget the target."""
        self._state = State.IDLE

    def init(self, frame: Frame, box: Box) -> Estimate:
        """Take up the target in `box` of `frame`; ValueError says why a box cannot be one (see `validate_box`).

        A target that there was is kept where the box is refused; where anything else fails, there is none.
        """
        box = validate_box(box, frame.size)
        self.reset()
        initial = self._session.embed(frame, self._template_region(box), self._registration)
        crop = self._around(box)
        located = self._session.locate(initial, initial, frame, crop, self._registration, self._window)
        self._own_score = _middle_score(located.scores, self._session.config.search_factor)
        # Where another place scores better, the size is not the target's.
        believed = self._own_score >= max(located.score, self._config.coast_score)
        self._calibration = self._calibrate(_in_image(located, crop), box, frame.size) if believed else (1.0, 1.0)
        self._appearance: Appearance | None = None
        if self._config.filter_rate:
            target = _in_crop(box, crop)
            self._appearance = first_appearance(located.fused, target)
            response = self._appearance.correlation_filter.respond(spectrum_of(located.fused)).cpu()
            response = response_at(torch.tensor(target), response)
            self._usual = _UNSEEN * float(response)  # its response to the target
        self._initial = self._dynamic = initial
        self._rule: TemplateRule[View] = TemplateRule(self._config.template_interval, self._config.template_score)
        self._size = frame.size
        self._take_up(box)
        self._camera.moved(frame, self._registration, box)  # the motion up to here does not matter
        self._following = Following(box)
        return Estimate(box, 1.0, self._state, crop, located.fused)

    def resize(self, size: tuple[int, int], box: Box) -> None:
        """Go on in frames of `size` (width, height), in which the box is `box`; what is known of the target stays.

        RuntimeError before `init`.
        """
        self._require_target("resize")
        self._size = size
        self._box = self._in_frame(box)
        self._following.saw(None, None)
        self._drift = np.zeros(2)
        self._candidate, self._confirmed = None, 0
        self._rivals = Rivals(self._box)

    def track(self, frame: Frame, seconds: float = FRAME_TIME) -> Estimate:
        """Find the target in the next frame, so many seconds after the last one.

        A target changes with time, not with the frames that a slow camera or computer lets the tracker see of it.
        Where the clock went back (a recording that begins again) no time has passed.
        RuntimeError before `init`; ValueError where the frame's size is not the one whose pixels the box is in: that of
        `init`, or of the last `resize`.
        """
        self._require_target("track")
        if frame.size != self._size:
            raise ValueError(f"frame is {_text(frame.size)}, the target was given in a frame of {_text(self._size)}")
        self._frames = min(max(seconds, 0.0), _LONGEST) / FRAME_TIME
        before = self._box if self._state is State.TRACKING else None
        motion = self._go_with_the_camera(frame) if self._config.camera_motion else None
        self._go_on()
        crop, window = self._search_region(), self._search_window()
        templates = self._initial, self._dynamic
        if self._appearance is not None:
            self._appearance = self._appearance.with_sides(*_in_crop(self._box, crop)[2:])
        known = self._appearance if window is self._window else None  # at the tracking scale
        located = self._session.locate(*templates, frame, crop, self._registration, window, known)
        seen = _in_image(located, crop)
        calibrated = _resized(seen, *(side * factor for side, factor in zip(seen[2:], self._calibration)))
        likeness = _likeness(located, crop)
        self._step(self._in_frame(self._limit_size(calibrated, self._scale(located))), located, likeness)
        aside = self._step_aside(located, crop, likeness)
        if not aside:
            self._update_template(frame, located.score)
            self._learn(located, crop)
        went_on = self._state is State.TRACKING and not aside
        self._following.saw(self._box if went_on and self._config.camera_motion else None, motion)
        if went_on and before is not None and self._frames:
            self._see_drift(before, motion)
        return Estimate(self._box, located.score, self._state, crop, located.fused)

    def _go_with_the_camera(self, frame: Frame) -> Motion | None:
        motion = self._camera.moved(frame, self._registration, self._box)
        if motion is not None:
            share = self._following.share
            box = self._grown(motion.box(self._box, share), motion.scale**share, motion.scale**share)
            self._box = moved_inside(box, self._size)
            self._candidate = None if self._candidate is None else motion.box(self._candidate, share)
            self._rivals.move(motion)
        return motion

    def _go_on(self) -> None:
        """A target that is not seen goes on as it went, ever slower."""
        if self._state is State.COASTING:
            self._drift = self._drift * _SLOWING**self._frames
            x, y = (self._drift * self._frames).tolist()
            self._box = moved_inside((self._box[0] + x, self._box[1] + y, *self._box[2:]), self._size)

    def _see_drift(self, before: Box, motion: Motion | None) -> None:
        """Follow the target's own motion, beside that which it shares with the scene: pixels in each FRAME_TIME."""
        expected = before if motion is None else motion.box(before, self._following.share)
        went = np.subtract(centre(self._box), centre(expected)) / self._frames
        self._drift = self._drift + _share(_DRIFT, self._frames) * (went - self._drift)

    def _require_target(self, call: str) -> None:
        if self._state is State.IDLE:
            raise RuntimeError(f"the tracker has no target: call init before {call}")

    def _search_region(self) -> Crop:
        return self._around(self._box, self._widening) if self._candidate is None else self._around(self._candidate)

    def _around(self, box: Box, widening: float = 1.0) -> Crop:
        config = self._session.config
        return Crop.around(box, config.search_factor * widening, config.search_size)

    def _search_window(self) -> np.ndarray:
        looking_around = self._state is State.LOST and self._candidate is None
        return self._no_window if looking_around else self._window

    def _step(self, box: Box, located: Located, likeness: Likeness) -> None:
        if self._state is State.LOST:
            self._step_lost(box, located.score)
            return
        far = self._is_far(box) and not self._went_to(box, likeness)
        if located.score >= self._needed(far):
            self._trust(box)
            self._get_used_to(located.response)
        elif not far and self._is_familiar(located):
            scale = self._scale(located)
            self._trust(self._in_frame(self._grown(box, scale, scale)))  # how large is not for the network to say
        else:
            self._coasted += 1
            self._state = State.LOST if self._coasted > self._config.lost_after else State.COASTING

    def _needed(self, far: bool) -> float:
        """The score from which on a box is believed."""
        lowest = self._config.coast_score
        return max(lowest, min(self._config.recover_score, self._own_score)) if far else lowest

    def _is_far(self, box: Box) -> bool:
        """Whether `box` is further from the last one than a target goes in the time in which it was not seen."""
        frames = self._frames * (1 + self._coasted)
        return not is_within(centre(box), self._box, _STEP + _SPEED * frames)

    def _went_to(self, box: Box, likeness: Likeness) -> bool:
        """Whether the filter sees the target in `box` as it usually does, and no longer where it was."""
        there, here = (likeness(centre(place)) for place in (box, self._box))
        if there is None:  # the last box is in the crop's middle, where the filter always sees something
            return False
        return there > self._config.filter_trust * self._usual and here < _GONE * there

    def _get_used_to(self, response: float | None) -> None:
        if response is not None:
            self._usual += _share(_HABIT, self._frames) * (response - self._usual)

    def _is_familiar(self, located: Located) -> bool:
        lowest = min(self._config.coast_score, _RECOGNISED * self._own_score) / 2
        if located.response is None or located.score < lowest:
            return False
        alone = self._own_score < _UNKNOWN
        trust = self._config.filter_trust * (_ALONE if alone else 1)
        return located.response > trust * self._usual  # 0 where there is nothing to see

    def _step_aside(self, located: Located, crop: Crop, likeness: Likeness) -> bool:
        """Whether the box went on with a look-alike that the target met; if so it is now where the target is."""
        if self._state is State.LOST or not self._config.crossing_frames:
            return False
        believed, peaks = self._state is State.TRACKING, peaks_of(located.scores, crop)
        seen = self._box, located.score, believed, peaks
        box = self._rivals.observe(*seen, self._config.crossing_frames, likeness)
        if box is not None:
            self._take_up(self._in_frame(box))
        return box is not None

    def _step_lost(self, box: Box, score: float) -> None:
        if score >= self._config.recover_score:
            self._candidate = box
            self._confirmed += 1
            if self._confirmed >= self._config.recover_frames:
                self._take_up(box)
        else:
            self._candidate = None
            self._confirmed = 0
            self._widening = self._widen()

    def _widen(self) -> float:
        """The next lost frame's widening: growing, and from the limit on again from the start.

        In a region twice as wide the target is half as large as the network has learnt, and hardly reaches
        `recover_score`: each place within the limit is looked at on several scales.
        """
        limit = self._config.lost_widening
        return 1.0 if self._widening >= limit else min(self._widening * self._config.lost_growth, limit)

    def _take_up(self, box: Box) -> None:
        """Trust a box that does not go on from the last one."""
        self._trust(box)
        self._drift = np.zeros(2)
        self._rivals = Rivals(box)

    def _trust(self, box: Box) -> None:
        self._state = State.TRACKING
        self._box = box
        self._coasted = 0
        self._candidate: Box | None = None
        self._confirmed = 0
        self._widening = 1.0

    def _in_frame(self, box: Box) -> Box:
        margin = min(_MARGIN, max(_SMALLEST, min(box[2:])))  # a smaller target is not blown up to the margin
        return clip_box(box, self._size, margin)

    def _calibrate(self, said: Box, box: Box, size: tuple[int, int]) -> tuple[float, ...]:
        """What the network's widths and heights are to be multiplied with, which `said` so of the target in `box`.

        1 where the image of `size` ends within the box: how long that side looks depends on how much of it is seen.
        """
        ends = (corner < -1 or corner + side > length + 1 for corner, side, length in zip(box[:2], box[2:], size))
        ratios = (1.0 if cut else true / seen for cut, true, seen in zip(ends, box[2:], said[2:]))
        return tuple(self._limit(ratio) ** self._config.size_calibration for ratio in ratios)

    def _knows(self, located: Located) -> bool:
        """Whether what the correlation filter sees at the box is the target as it usually is."""
        return located.response is not None and located.response >= _KNOWN * self._usual

    def _scale(self, located: Located) -> float | None:
        """By how much the target has grown, where a filter is asked; of what it does not know it says nothing: 1."""
        return 1.0 if located.scale is not None and not self._knows(located) else located.scale

    def _limit_size(self, box: Box, scale: float | None) -> Box:
        """`box` with a size that follows the last one's: one wild size would set the scale of the frames after it.

        scale: by how much the target has grown, where the scale filter says so. A lost target may have changed its size
        meanwhile: what is found is only kept within the limit.
        """
        wide, high = (self._limit(new / old) for new, old in zip(box[2:], self._box[2:]))
        if self._state is State.LOST:
            return self._grown(box, wide, high)
        # In a longer time a size drifts further, but each frame's is as wrong as ever: a steady Kalman filter's share
        # of the new one grows with the root of the time.
        rate, frames = self._config.size_rate, self._frames**0.5
        share = 1 if scale is None else _SIZE_SHARE
        size = (wide * high) ** (_share(rate * share, frames) / 2) * (scale or 1.0)
        shape = (wide / high) ** (_share(rate, frames) / 2)
        return self._grown(box, size * shape, size / shape)

    def _grown(self, box: Box, *ratios: float) -> Box:
        """A box of the last one's size times `ratios`, within the limit, around the centre of `box`."""
        return _resized(box, *(self._limit(ratio) * side for ratio, side in zip(ratios, self._box[2:])))

    def _limit(self, ratio: float) -> float:
        """A change of a side, within the limit."""
        limit = self._config.max_size_change
        return min(max(ratio, 1 / limit), limit)

    def _update_template(self, frame: Frame, score: float) -> None:
        believed = score if self._state is State.TRACKING else 0.0
        due = self._rule.observe(believed, (frame, self._template_region(self._box), self._registration))
        if due is not None:
            self._dynamic = self._session.embed(*due)

    def _learn(self, located: Located, crop: Crop) -> None:
        if self._state is State.TRACKING and self._knows(located):
            rate = _share(self._config.filter_rate, self._frames)
            target = _in_crop(self._box, crop)
            self._appearance = self._session.learn(self._appearance, located, target, rate)

    def _template_region(self, box: Box) -> Crop:
        config = self._session.config
        return Crop.around(box, config.template_factor, config.template_size)


def _likeness(located: Located, crop: Crop) -> Likeness:
    """How much places of the image look like the target, by its filter where that is asked."""
    if located.responses is None:
        return lambda place: None
    return lambda place: likeness_at((place - (crop.x, crop.y)) / crop.side, located.responses)


def _share(rate: float, frames: float) -> float:
    """What `frames` at once are worth against all before them, where each is worth `rate`."""
    return 1 - (1 - rate) ** frames


def _middle_score(scores: np.ndarray, factor: float) -> float:
    """The best of a crop's scores (G, G) where the target is that it was cut for, `factor` times as large."""
    cells = len(scores)
    begin = round(cells * (1 - 1 / factor) / 2)
    return float(scores[begin : cells - begin, begin : cells - begin].max())


def _in_image(located: Located, crop: Crop) -> Box:
    return crop.box_to_image(tuple(value * crop.size for value in located.box))


def _resized(box: Box, width: float, height: float) -> Box:
    """A box of another size around the same centre."""
    x, y, w, h = box
    return x + (w - width) / 2, y + (h - height) / 2, width, height


def _in_crop(box: Box, crop: Crop) -> Box:
    """In fractions of the crop."""
    return tuple(value / crop.size for value in crop.box_to_crop(box))


def _text(size: tuple[int, int]) -> str:
    return f"{size[0]}x{size[1]}"


def fuse_frame(session: TPFSession, frame: Frame, registration: Registration = Registration.identity()) -> np.ndarray:
    """The whole frame fused, (H, W, 3) uint8 RGB in visible pixels: one pass of the adapter over all of it."""
    return fused_to_image(session.fuse(*whole_pair(frame, registration)))
