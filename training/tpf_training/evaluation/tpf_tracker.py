"""Our tracker as one-pass evaluation runs it."""

import math

import numpy as np

from tpf_model.boxes import Box
from tpf_model.frame import Frame
from tpf_model.runtime import TPFSession
from tpf_model.tracker import FRAME_TIME, Tracker, TrackerConfig

# No score exceeds 1, so no frame's crop becomes the dynamic template.
_NO_NDTU = {"template_score": 1.0}
# Every frame's box is believed, of whatever size, and nothing is learnt of the target.
_PUBLISHED = {
    "hann_power": 1.0,
    "coast_score": 0.0,
    "recover_score": 0.0,
    "size_rate": 1.0,
    "max_size_change": math.inf,
    "filter_rate": 0.0,
    "size_calibration": 0.0,
    "crossing_frames": 0,
    "camera_motion": False,
}


def tracker_config(
    ndtu: bool = True, published: bool = False, template_interval: int = TrackerConfig.template_interval
) -> TrackerConfig:
    """The tracker's settings, with the update of the dynamic template every so many frames, or without.

    published: by the rule of the paper, and of OSTrack before it: the box is what the network says at the best cell of
    score times Hann window. (Ours is the mean over the cells around it there, too; see `decode`.)
    """
    rules = ({} if ndtu else _NO_NDTU) | (_PUBLISHED if published else {})
    return TrackerConfig(template_interval=template_interval, **rules)


class TPFTracker:
    """`tpf_model.tracker.Tracker` as a `OnePassTracker`. Its box is held where it does not believe the frame's.

    step: each frame is so many of the usual `FRAME_TIME` after the one before.
    """

    def __init__(self, session: TPFSession, config: TrackerConfig, step: int):
        self.info = session.info
        self._tracker = Tracker(session, config)
        self._seconds = step * FRAME_TIME

    def init(self, visible: np.ndarray | None, thermal: np.ndarray | None, box: Box) -> None:
        self._tracker.init(Frame(visible, thermal), box)

    def track(self, visible: np.ndarray | None, thermal: np.ndarray | None) -> tuple[Box, float]:
        estimate = self._tracker.track(Frame(visible, thermal), self._seconds)
        return estimate.box, estimate.score
