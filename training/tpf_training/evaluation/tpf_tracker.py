"""Our tracker as one-pass evaluation runs it."""

import numpy as np

from tpf_model.boxes import Box
from tpf_model.frame import Frame
from tpf_model.runtime import TPFSession
from tpf_model.tracker import Tracker, TrackerConfig


def tracker_config(ndtu: bool = True, correlation_filter: bool = True) -> TrackerConfig:
    """The tracker's settings, with the update of the dynamic template and the correlation filter or without.

    The published tracker has the former alone.
    """
    # No score exceeds 1, so no frame's crop becomes the dynamic template.
    changes = ({} if ndtu else {"template_score": 1.0}) | ({} if correlation_filter else {"filter_rate": 0.0})
    return TrackerConfig(**changes)


class TPFTracker:
    """`tpf_model.tracker.Tracker` as a `OnePassTracker`. Its box is held where it does not believe the frame's."""

    def __init__(self, session: TPFSession, config: TrackerConfig = TrackerConfig()):
        self.info = session.info
        self._tracker = Tracker(session, config)

    def init(self, visible: np.ndarray | None, thermal: np.ndarray | None, box: Box) -> None:
        self._tracker.init(Frame(visible, thermal), box)

    def track(self, visible: np.ndarray | None, thermal: np.ndarray | None) -> tuple[Box, float]:
        estimate = self._tracker.track(Frame(visible, thermal))
        return estimate.box, estimate.score
