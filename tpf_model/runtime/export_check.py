"""Whether an exported network gives what the network itself gives, on real frames."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import astuple, dataclass, fields

import numpy as np

from tpf_model.boxes import Box
from tpf_model.crop import Crop
from tpf_model.decode import decode, hann_window
from tpf_model.frame import Frame
from tpf_model.pair import crop_pair
from tpf_model.registration import Registration
from tpf_model.runtime.in_parts import SessionInParts
from tpf_model.tracker import TrackerConfig

Labelled = tuple[Frame, Box]  # a target's box in a frame, visible pixels


@dataclass(frozen=True)
class Differences:
    """Largest absolute differences over all frames: of the fused images, of the maps in their own units (see
    `head.py`), of a box's numbers in pixels of the image. median_box: the median over the frames of the last.
    """

    fused: float
    score: float
    size: float
    offset: float
    box: float
    median_box: float

    def above(self, limits: "Differences") -> list[str]:
        """Names of those above their limit, or not a number."""
        pairs = zip(fields(self), astuple(self), astuple(limits))
        return [field.name for field, value, limit in pairs if not value <= limit]


# By precision. In int8 a look-alike that scores as well as the target may win in a frame: the largest difference of
# the boxes says little.
LIMITS = {
    "float32": Differences(fused=1e-5, score=1e-4, size=1e-4, offset=1e-4, box=0.1, median_box=0.1),
    "float16": Differences(fused=1e-5, score=0.01, size=0.01, offset=0.05, box=1, median_box=0.5),
    "int8": Differences(fused=1e-5, score=0.15, size=0.15, offset=1, box=math.inf, median_box=3),
}


def compare_sessions(
    exact: SessionInParts, other: SessionInParts, first: Labelled, steps: Iterable[tuple[Labelled, Labelled]]
) -> Differences:
    """The largest differences of `other` from `exact`, which both look for the target of `first`.

    steps: pairs of a labelled frame and the one after it. The former's target is the dynamic template, and the latter
    is searched around its box, so that both sessions see the same region whatever they find. ValueError without any.
    """
    rows = np.array([_difference(exact, other, first, *step) for step in steps])
    if not len(rows):
        raise ValueError("there is no frame to compare on")
    return Differences(*rows.max(0).tolist(), float(np.median(rows[:, -1])))


def _difference(
    exact: SessionInParts, other: SessionInParts, first: Labelled, last: Labelled, now: Labelled
) -> list[float]:
    """Of the fused image, the three maps and the box."""
    config = exact.config
    region = Crop.around(last[1], config.search_factor, config.search_size)
    ours, theirs = (_look(session, first, last, now[0], region) for session in (exact, other))
    return [float(np.abs(a - b).max()) for a, b in zip(ours, theirs)]


def _look(session: SessionInParts, first: Labelled, last: Labelled, frame: Frame, region: Crop) -> Sequence[np.ndarray]:
    """The fused region, the three maps and the box."""
    config, registration = session.config, Registration.identity()
    initial, dynamic = (
        session.embed(image, Crop.around(box, config.template_factor, config.template_size), registration)
        for image, box in (first, last)
    )
    fused = session.fuse(*crop_pair(frame, region, registration))
    maps = session.predict(initial, dynamic, fused)
    found, _ = decode(*maps, hann_window(config.search_size // config.patch, TrackerConfig().hann_power))
    return fused.cpu().numpy(), *maps, np.array(region.box_to_image(tuple(value * region.size for value in found)))

