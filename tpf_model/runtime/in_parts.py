"""Sessions that crop and decode on the CPU and run the network in between, one part after another."""

from abc import ABC, abstractmethod

import numpy as np
import torch
from torch import Tensor

from tpf_model.appearance import Appearance
from tpf_model.boxes import Box
from tpf_model.correlation_filter import preference, recentred, response_at, spectrum_of
from tpf_model.crop import Crop
from tpf_model.decode import decode
from tpf_model.frame import Frame
from tpf_model.pair import crop_pair
from tpf_model.registration import Registration
from tpf_model.runtime.session import Located, Template
from tpf_model.scale_filter import sizes_of


class SessionInParts(ABC):
    """`embed`, `locate` and `learn` of a `TPFSession`, from `fuse`, `prepare` and `predict` of whoever inherits."""

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
        appearance: Appearance | None = None,
    ) -> Located:
        fused = self.fuse(*crop_pair(frame, crop, registration))
        maps = self.predict(initial, dynamic, fused)
        if appearance is None:
            return Located(*decode(*maps, window), maps[0], fused)
        spectrum = spectrum_of(fused)
        response = appearance.correlation_filter.respond(spectrum).cpu()
        box, score = decode(*maps, window * preference(response, len(window)).numpy())
        box = recentred(torch.tensor(box), response, torch.tensor(score))
        sizes = sizes_of(fused, box, appearance.sides)
        said = float(response_at(box, response)), float(appearance.scale_filter.scale(sizes))
        return Located(tuple(box.tolist()), score, maps[0], fused, spectrum, sizes, *said, response.numpy())

    @torch.inference_mode()
    def learn(self, appearance: Appearance, located: Located, box: Box, rate: float) -> Appearance:
        numbers = torch.tensor((*box, rate), dtype=torch.float64)
        return appearance.learn(located.spectrum, located.sizes, numbers[:4], numbers[4])
