"""The network on an NVIDIA GPU as one CUDA graph a frame: crop, fuse, encode, predict, decode. See docs/gpu_session.md."""

import contextlib
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from tpf_model.crop import Crop
from tpf_model.frame import Frame
from tpf_model.network import TPFNetwork
from tpf_model.registration import Registration
from tpf_model.runtime.device_crop import DeviceCrop
from tpf_model.runtime.device_decode import decode_on_device
from tpf_model.runtime.eager import EagerSession
from tpf_model.runtime.precision import products_in
from tpf_model.runtime.session import Located

# Libraries choose kernels, compile them and take their workspaces in the first runs, all of which a capture forbids.
_WARM_UPS = 3


class CaptureError(ValueError):
    """The network cannot be captured into a CUDA graph here."""


class CudaGraphSession(EagerSession):
    """An `EagerSession` whose `embed` and `locate` are one CUDA graph each, over tensors that stay where they are.

    The graphs read what the CPU stages (see `DeviceCrop`) and the tokens of two templates, which are copied in when
    they are not those of the last call. So a frame costs the CPU the staging, a transfer either way, a launch and a
    wait. On the CPU the same steps run without graphs: that is for tests.

    Raises CaptureError where a graph cannot be made.
    """

    runtime = "cuda_graph"

    def __init__(
        self,
        network: TPFNetwork,
        provenance: dict,
        device: torch.device | str = "cuda",
        precision: str = "auto",
        scan: str = "auto",
    ):
        super().__init__(network, provenance, device, precision, scan)
        config, device = self.config, self._device
        self._stream = torch.cuda.Stream(device) if device.type == "cuda" else None
        self._template_crop = DeviceCrop(config.template_size, device)
        self._search_crop = DeviceCrop(config.search_size, device, config.search_size // config.patch)
        self._templates = torch.zeros(2, 1, config.template_tokens, config.width, device=device)
        self._loaded: list[Tensor | None] = [None, None]  # whose tokens those are
        self._answer = torch.zeros(5, pin_memory=device.type == "cuda")
        with torch.inference_mode():
            self._embed, self._locate = self._program(self._embed_step), self._program(self._locate_step)

    @torch.inference_mode()
    def embed(self, frame: Frame, crop: Crop, registration: Registration) -> Tensor:
        with self._on_stream():
            self._template_crop.stage(frame, crop, registration)
            tokens = self._embed().clone()
            self._wait()
        return tokens

    @torch.inference_mode()
    def locate(
        self,
        initial: Tensor,
        dynamic: Tensor,
        frame: Frame,
        crop: Crop,
        registration: Registration,
        window: np.ndarray,
    ) -> Located:
        with self._on_stream():
            for place, tokens in enumerate((initial, dynamic)):
                if tokens is not self._loaded[place]:
                    self._templates[place].copy_(tokens)
                    self._loaded[place] = tokens
            self._search_crop.stage(frame, crop, registration, window)
            answer, fused = self._locate()
            fused = fused.clone()  # the next frame's goes to the same place
            self._answer.copy_(answer, non_blocking=True)
            self._wait()
        *box, score = self._answer.tolist()
        return Located(tuple(box), score, fused)

    def _embed_step(self) -> Tensor:
        """The staged template's tokens (1, template_tokens, C)."""
        fused = self._network.fuse(*self._template_crop.pair())
        with products_in(self._dtype, self._device):
            return self._network.embed_template(fused)

    def _locate_step(self) -> tuple[Tensor, Tensor]:
        """The box and score (5,), see `decode_on_device`, and the fused crop (3, S, S), of the staged search crop."""
        fused = self._network.fuse(*self._search_crop.pair())
        with products_in(self._dtype, self._device):
            maps = self._network.predict(self._network.encode_search(*self._templates, fused))
        score, size, offset = maps.score[0, 0], maps.size[0], maps.offset[0].float()
        return decode_on_device(score, size, offset, self._search_crop.window()), fused[0]

    def _program(self, step: Callable) -> Callable:
        """`step` as a graph: called, it computes into the tensors that it returned first, and returns them."""
        if self._stream is None:
            return step
        try:
            return _capture(step, self._stream)
        except RuntimeError as error:
            raise CaptureError(
                f"runtime 'cuda_graph' cannot run on {self.info.device} with scan {self.info.scan!r}: {error}; "
                "runtime 'eager' needs no capture"
            ) from error

    def _on_stream(self) -> contextlib.AbstractContextManager:
        return contextlib.nullcontext() if self._stream is None else torch.cuda.stream(self._stream)

    def _wait(self) -> None:
        if self._stream is not None:
            self._stream.synchronize()


def _capture(step: Callable, stream: torch.cuda.Stream) -> Callable:
    stream.wait_stream(torch.cuda.current_stream(stream.device))  # for the weights
    with torch.cuda.stream(stream):
        for _ in range(_WARM_UPS):
            step()
    stream.synchronize()
    graph = torch.cuda.CUDAGraph()
    # thread_local: another thread of this process, of another node in it perhaps, may go on using the GPU.
    with torch.cuda.graph(graph, stream=stream, capture_error_mode="thread_local"):
        outputs = step()

    def replay():
        graph.replay()
        return outputs

    return replay
