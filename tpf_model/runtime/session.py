"""What every way of running the network offers to the tracker."""

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from torch import Tensor

from tpf_model.appearance import Appearance
from tpf_model.boxes import Box
from tpf_model.config import ModelConfig
from tpf_model.crop import Crop
from tpf_model.frame import Frame
from tpf_model.registration import Registration

Template = Any  # what `TPFSession.embed` returns: opaque, and only for sessions' own use


@dataclass(frozen=True)
class SessionInfo:
    """What actually runs, for logs, diagnostics and `tpf info`.

    scan: the selective scan's backend, "none" where the fusion has no scan. precision: float32, bfloat16 or float16 of
    the encoder and the head, or int8 of the encoder's products by weights, all else being float32; fusion is always
    float32. weights: their provenance. parameters: counts by part ("pfa", "encoder", "head", "total").
    """

    model: str
    runtime: str
    scan: str
    precision: str
    device: str
    weights: dict
    parameters: dict[str, int]


@dataclass(frozen=True)
class Located:
    """Where a session sees the target in a searched crop.

    box: in fractions of the crop, which may leave 0..1. score: the plain classification score there, 0..1. scores:
    those of all cells, (G, G) float32. fused: the crop fused, as `TPFSession.fuse` returns it. spectrum: `spectrum_of`
    it. sizes: `sizes_of` it around the box. These three stay as they are when the session goes on. response: the
    correlation filter's at the box, see `response_at`. scale: how many times as large as it was known the target is, by
    the scale filter. responses: the correlation filter's to the whole crop, (N, N) float32, see
    `CorrelationFilter.respond`. Where the session was not told the target's appearance the last five are None.
    """

    box: Box
    score: float
    scores: np.ndarray
    fused: Tensor
    spectrum: Tensor | None = None
    sizes: Tensor | None = None
    response: float | None = None
    scale: float | None = None
    responses: np.ndarray | None = None


class TPFSession(Protocol):
    """One network, ready to run. For one thread at a time; it remembers no target, so several trackers may share it.

    The same inputs give the same outputs, bit by bit, on the same machine with the same number of threads; another
    thread count, device or precision changes the last digits.
    """

    config: ModelConfig
    info: SessionInfo

    def fuse(self, visible: np.ndarray, thermal: np.ndarray) -> Tensor:
        """visible (H, W, 3) uint8 RGB and thermal (H, W) uint8, aligned, of any size.

        Returns the fused image, (3, H, W) float32 RGB, about [0, 1], on the session's device.
        """

    def embed(self, frame: Frame, crop: Crop, registration: Registration) -> Template:
        """Prepare the template in `crop`, of the configuration's template_size, for any number of calls of `locate`."""

    def locate(
        self,
        initial: Template,
        dynamic: Template,
        frame: Frame,
        crop: Crop,
        registration: Registration,
        window: np.ndarray,
        appearance: Appearance | None = None,
    ) -> Located:
        """Find the target of two templates in `crop`, of the configuration's search_size: the whole of a frame's work.

        initial, dynamic: of this session's `embed`. window: (G, G) float32, what the scores are multiplied with to
        choose the best cell, see `hann_window`; an array once given must not be written to. appearance: the
        scores are multiplied with its correlation filter's response to the fused crop, too, which also corrects the
        box's centre; its scale filter says how the target's size differs from `sides`.
        """

    def learn(self, appearance: Appearance, located: Located, box: Box, rate: float) -> Appearance:
        """What the target looks like after a frame in which it was `located` by `appearance`; see `Appearance.learn`.

        box: the target's in that crop, in fractions of it.
        """


def fused_to_image(fused: Tensor) -> np.ndarray:
    """A fused image (3, H, W) as `TPFSession.fuse` returns it -> (H, W, 3) uint8 RGB."""
    return (fused.clamp(0, 1) * 255).round().byte().permute(1, 2, 0).cpu().numpy()
