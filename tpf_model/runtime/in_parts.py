"""Sessions that crop and decode on the CPU and run the network in between, one part after another."""

from abc import ABC, abstractmethod

import numpy as np
from torch import Tensor

from tpf_model.correlation_filter import CorrelationFilter, spectrum_of
from tpf_model.crop import Crop
from tpf_model.decode import decode
from tpf_model.frame import Frame
from tpf_model.pair import crop_pair
from tpf_model.registration import Registration
from tpf_model.runtime.session import Located, Template


class SessionInParts(ABC):
    """`embed` and `locate` of a `TPFSession`, from `fuse`, `prepare` and `predict` of whoever inherits."""

    @abstractmethod
    def fuse(self, visible: np.ndarray, thermal: np.ndarray) -> Tensor:
        """See `TPFSession.fuse`."""

    @abstractmethod
    def prepare(self, template: Tensor) -> Template:
        """Whatever of a fused template (3, T, T) can be computed once, for `predict`."""

    @abstractmethod
    def predict(
        self, initial: Template, dynamic: Template, search: Tensor
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Two prepared templates and a fused search crop (3, S, S) to the head's maps (see `head.py`).

        Returns score (G, G), size (2, G, G) and offset (2, G, G), float32.
        """

    def embed(self, frame: Frame, crop: Crop, registration: Registration) -> Template:
        return self.prepare(self.fuse(*crop_pair(frame, crop, registration)))

    def locate(
        self,
        initial: Template,
        dynamic: Template,
        frame: Frame,
        crop: Crop,
        registration: Registration,
        window: np.ndarray,
        correlation_filter: CorrelationFilter | None = None,
    ) -> Located:
        fused = self.fuse(*crop_pair(frame, crop, registration))
        spectrum = None
        if correlation_filter is not None:
            spectrum = spectrum_of(fused)
            window = window * correlation_filter.respond(spectrum, len(window)).cpu().numpy()
        box, score = decode(*self.predict(initial, dynamic, fused), window)
        return Located(box, score, fused, spectrum)
