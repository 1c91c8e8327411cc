"""Our tracker as one-pass evaluation runs it."""

import numpy as np

from tpf_model.boxes import Box
from tpf_model.frame import Frame
from tpf_model.runtime import TPFSession
from tpf_model.tracker import FRAME_TIME, Tracker, TrackerConfig


# No score exceeds 1, so no frame's crop becomes the dynamic template.
_NO_NDTU = {"template_score": 1.0}
_NO_ADAPTATION = {"filter_rate": 0.0, "size_calibration": 0.0, "crossing_frames": 0}


def tracker_config(ndtu: bool = True, adaptation: bool = True) -> TrackerConfig:
    """The tracker's settings, with the update of the dynamic template and with what adapts to a target, or without.

    What adapts are the correlation and the scale filter, the calibration of the size, and the look-alikes' paths; the
    published tracker has none of them.
    """
    return TrackerConfig(**({} if ndtu else _NO_NDTU), **({} if adaptation else _NO_ADAPTATION))


class TPFTracker:
    """`tpf_model.tracker.Tracker` as a `OnePassTracker`. Its box is held where it does not believe the frame's.

    step: each frame is so many of the usual `FRAME_TIME` after the one before.
    """

    def __init__(self, session: TPFSession, config: TrackerConfig = TrackerConfig(), step: int = 1):
        self.info = session.info
        self._tracker = Tracker(session, config)
        self._seconds = step * FRAME_TIME

    def init(self, visible: np.ndarray | None, thermal: np.ndarray | None, box: Box) -> None:
        self._tracker.init(Frame(visible, thermal), box)

    def track(self, visible: np.ndarray | None, thermal: np.ndarray | None) -> tuple[Box, float]:
        estimate = self._tracker.track(Frame(visible, thermal), self._seconds)
        return estimate.box, estimate.score
