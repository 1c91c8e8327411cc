"""From a box that someone drew on an image to a box in visible pixels of the buffered frame they saw. Knows no ROS."""

from dataclasses import dataclass

import numpy as np

from tpf_model.boxes import Box, validate_box
from tpf_model.crop import Crop
from tpf_model.registration import Registration
from tpf_ros.frame_buffer import BufferedFrame, FrameBuffer, NoFrameYet, StampNotBuffered

# As in InitTarget.srv.
VISIBLE, THERMAL, FUSED = 0, 1, 2
OK, BAD_BOX, STAMP_TOO_OLD, NO_IMAGE_YET, BAD_IMAGE, NOT_ACTIVE, INTERNAL_ERROR = range(7)

_TOLERANCE = 250_000_000  # ns; an image that was in no pair has its nearest pair this near, down to 2 pairs a second


class Refused(ValueError):
    """A request that cannot be met: `code` is InitTarget's, the text says what would be accepted."""

    def __init__(self, code: int, text: str):
        super().__init__(text)
        self.code = code


@dataclass(frozen=True)
class Drawn:
    """A box as it was drawn: on image VISIBLE, THERMAL or FUSED, at `stamp` (ns, the camera's own; 0: the newest).

    clicked: tools stamp a click with their own clock, so one that is newer than all images means the newest.
    """

    box: Box
    image: int = VISIBLE
    stamp: int = 0
    clicked: bool = False


def find_target(
    drawn: Drawn,
    buffer: FrameBuffer,
    registration: Registration | None,
    regions: list[tuple[int, Crop]] | None,
) -> tuple[BufferedFrame, Box]:
    """The buffered frame nearest to the stamp and the box in its visible pixels; Refused says why there is none.

    registration: thermal to visible, None where it is not known. regions: stamps and crops of the fused images so far,
    oldest first; None where the fused image is the whole frame.
    """
    if drawn.image not in (VISIBLE, THERMAL, FUSED):
        raise Refused(BAD_IMAGE, f"image is {drawn.image}, must be 0 (visible), 1 (thermal) or 2 (fused)")
    stamp, crop = drawn.stamp, None
    try:
        newest = buffer.find(0).stamp
        if drawn.image == FUSED and regions is not None:
            stamp, crop = _region(stamp, regions)
        if drawn.clicked and stamp > newest:
            stamp = 0
        seen = buffer.find(stamp, thermal=drawn.image == THERMAL, tolerance=_TOLERANCE)
    except NoFrameYet as error:
        raise Refused(NO_IMAGE_YET, str(error)) from error
    except StampNotBuffered as error:
        raise Refused(STAMP_TOO_OLD, str(error)) from error
    if drawn.image == THERMAL:
        box = _from_thermal(drawn.box, seen, registration)
    elif crop is not None:
        box = crop.box_to_image(_validate(drawn.box, (crop.size, crop.size)))
    else:
        box = drawn.box
    return seen, _validate(box, seen.frame.size)


def _from_thermal(box: Box, seen: BufferedFrame, registration: Registration | None) -> Box:
    if registration is None:
        raise Refused(
            BAD_IMAGE, "thermal pixels cannot be mapped: registration.method plane waits for camera_info that fits"
        )
    if seen.frame.thermal is None:
        raise Refused(BAD_IMAGE, "there is no thermal image of that moment; draw the box on the visible one")
    size = seen.frame.thermal.shape[1], seen.frame.thermal.shape[0]
    x, y, w, h = _validate(box, size)
    corners = np.array([[x, x + w, x + w, x], [y, y, y + h, y + h], [1, 1, 1, 1]])
    mapped = registration.matrix(size, seen.frame.size) @ corners
    if (mapped[2] <= 0).any():
        raise Refused(BAD_BOX, "the box reaches beyond the registration's horizon; draw it on the visible image")
    low, high = (extreme(mapped[:2] / mapped[2], axis=1) for extreme in (np.min, np.max))
    return float(low[0]), float(low[1]), float(high[0] - low[0]), float(high[1] - low[1])


def _region(stamp: int, regions: list[tuple[int, Crop]]) -> tuple[int, Crop]:
    """The fused image nearest to `stamp`; 0: the newest."""
    if regions and stamp == 0:
        return regions[-1]
    # Of one frame that was searched twice, for two targets, the newest is shown.
    nearest = min(reversed(regions), key=lambda one: abs(one[0] - stamp), default=None)
    if nearest is None or abs(nearest[0] - stamp) > _TOLERANCE:
        raise Refused(BAD_IMAGE, "there is no fused image of that moment: it shows the search region of a target")
    return nearest


def _validate(box: Box, size: tuple[int, int]) -> Box:
    try:
        return validate_box(box, size)
    except ValueError as error:
        raise Refused(BAD_BOX, str(error)) from error
