"""The network on an NVIDIA GPU as one CUDA graph a frame: crop, fuse, encode, predict, decode.

docs/gpu.md says what that costs and how it is measured.
"""

import contextlib
import sys
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from tpf_model.appearance import Appearance, no_appearance
from tpf_model.boxes import Box
from tpf_model.correlation_filter import preference, recentred, response_at, spectrum_of
from tpf_model.crop import Crop
from tpf_model.frame import Frame
from tpf_model.network import TPFNetwork
from tpf_model.registration import Registration
from tpf_model.runtime.device_crop import StagedCrop, sample_pair, stage_crop
from tpf_model.runtime.device_decode import decode_on_device
from tpf_model.runtime.eager import EagerSession
from tpf_model.runtime.precision import full_float32, products_in
from tpf_model.runtime.session import Located
from tpf_model.scale_filter import sizes_of

# Libraries choose kernels, compile them and take their workspaces in the first runs, all of which a capture forbids.
_WARM_UPS = 3


class CaptureError(ValueError):
    """The network cannot be captured into a CUDA graph here."""


class CudaGraphSession(EagerSession):
    """An `EagerSession` whose `embed`, `locate` and `learn` are one CUDA graph each, over tensors that stay in place.

    The graphs read what the CPU stages (see `device_crop.py`), and the tokens of two templates and an appearance, which
    are copied in when they are not those of the last call. So a frame costs the CPU the staging, a transfer either way,
    a launch and a wait; what is learnt from it is another launch, which nothing waits for but the next frame. On the
    CPU the same steps run without graphs: that is for tests.

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
        on_gpu = device.type == "cuda"
        cells = config.search_size // config.patch
        self._template_crop = _Transfer(config.template_size, device)
        self._search_crop = _Transfer(config.search_size, device, cells)
        self._templates = torch.zeros(2, 1, config.template_tokens, config.width, device=device)
        self._loaded: list[Tensor | None] = [None, None]  # whose tokens those are
        self._appearance = no_appearance(config.search_size, device)
        self._no_appearance = no_appearance(config.search_size, device)
        self._known: Appearance | None = None  # whose values those are
        self._lesson = Lesson(config.search_size, device)
        self._filter_cells = self._lesson.spectrum.shape[1]
        self._answer = torch.zeros(7 + cells**2 + self._filter_cells**2, pin_memory=on_gpu)
        self._stream = torch.cuda.Stream(device) if on_gpu else None
        runs, template, search = (self._network, self._dtype), self._template_crop.there, self._search_crop.there
        # Not in inference mode: the random generator's tensors, which the process's first capture makes for all later
        # ones, could then not be written outside it.
        with torch.no_grad():
            self._embed = self._program(lambda: embed_step(*runs, template))
            self._locate = self._program(lambda: locate_step(*runs, search, self._templates, self._appearance))
            self._learn = self._program(lambda: learn_step(self._appearance, self._lesson))

    @torch.inference_mode()
    def embed(self, frame: Frame, crop: Crop, registration: Registration) -> Tensor:
        with self._on_stream():
            self._template_crop.send(frame, crop, registration)
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
        appearance: Appearance | None = None,
    ) -> Located:
        with self._on_stream():
            for place, tokens in enumerate((initial, dynamic)):
                if tokens is not self._loaded[place]:
                    self._templates[place].copy_(tokens)
                    self._loaded[place] = tokens
            self._load(appearance or self._no_appearance)
            self._search_crop.send(frame, crop, registration, window)
            answer, *seen = self._locate()
            fused, *known = (tensor.clone() for tensor in seen)  # the next frame's go to the same places
            self._answer.copy_(answer, non_blocking=True)
            self._wait()
        *box, score, response, scale = self._answer[:7].tolist()
        maps = self._answer[7:].numpy().copy()
        scores, responses = maps[: window.size].reshape(window.shape), maps[window.size :]
        if appearance is None:
            return Located(tuple(box), score, scores, fused)
        responses = responses.reshape(self._filter_cells, self._filter_cells)
        return Located(tuple(box), score, scores, fused, *known, response, scale, responses)

    @torch.inference_mode()
    def learn(self, appearance: Appearance, located: Located, box: Box, rate: float) -> Appearance:
        with self._on_stream():
            self._load(appearance)
            self._lesson.give(located, box, rate)
            learnt = self._learn().clone()
        if self._stream is not None:  # it is the caller's now, who may look at it before the next frame
            torch.cuda.current_stream(self._device).wait_stream(self._stream)
        return learnt

    def _load(self, appearance: Appearance) -> None:
        if appearance is not self._known:
            self._appearance.copy_(appearance)
            self._known = appearance

    def _program(self, step: Callable) -> Callable:
        """`step`, on a GPU as a graph."""
        if self._stream is None:
            return step
        before = sys.exc_info()[1]  # an error that the caller is handling
        try:
            return capture(step, self._stream)
        except Exception as error:  # PyTorch's, Triton's and the libraries' have no common base
            # After what a capture forbids, its end is an error, too.
            cause = error if error.__context__ is before else error.__context__
            reason = str(cause).partition("\n")[0]  # PyTorch's go on with how to debug a kernel
            raise CaptureError(
                f"runtime 'cuda_graph' cannot run on {self.info.device} with scan {self.info.scan!r}: {reason}; "
                "runtime 'eager' needs no capture"
            ) from error

    def _on_stream(self) -> contextlib.AbstractContextManager:
        if self._stream is None:
            return contextlib.nullcontext()
        # The filters may still be learning, on the caller's stream, from the last frame.
        self._stream.wait_stream(torch.cuda.current_stream(self._device))
        return torch.cuda.stream(self._stream)

    def _wait(self) -> None:
        if self._stream is not None:
            self._stream.synchronize()


class Lesson:
    """What is learnt from, on `device`: of a frame `spectrum_of` its crop and `sizes_of` it, the box, and the rate."""

    def __init__(self, size: int, device: torch.device):
        crop, box = torch.zeros(3, size, size, device=device), torch.ones(4, device=device)
        self.spectrum, self.sizes = spectrum_of(crop), sizes_of(crop, box, box[2:])
        self.numbers = torch.ones(5, dtype=torch.float64, device=device)  # box in fractions of the crop, and rate

    def give(self, located: Located, box: Box, rate: float) -> None:
        self.spectrum.copy_(located.spectrum, non_blocking=True)
        self.sizes.copy_(located.sizes, non_blocking=True)
        # Not from pinned memory: that would have to stay as it is until the GPU has read it.
        self.numbers.copy_(torch.tensor((*box, rate), dtype=torch.float64), non_blocking=True)


class _Transfer:
    """Crops of `size` from the CPU's memory (`_here`) to the same of the device (`there`)."""

    def __init__(self, size: int, device: torch.device, cells: int = 0):
        self._here = StagedCrop(size, torch.device("cpu"), cells, pinned=device.type == "cuda")
        self.there = StagedCrop(size, device, cells)

    def send(self, *view) -> None:
        """Stage a view, see `stage_crop`, and start its transfer. The one before must have been waited for."""
        used = stage_crop(self._here, *view)
        self.there.rows[:used].copy_(self._here.rows[:used], non_blocking=True)


@full_float32()
def embed_step(network: TPFNetwork, dtype: torch.dtype, crop: StagedCrop) -> Tensor:
    """The staged template's tokens (1, template_tokens, C)."""
    fused = network.fuse(*sample_pair(crop))
    with products_in(dtype, fused.device):
        return network.embed_template(fused)


@full_float32()
def locate_step(
    network: TPFNetwork, dtype: torch.dtype, crop: StagedCrop, templates: Tensor, appearance: Appearance
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """All of a frame's work. templates: tokens of the initial and the dynamic one, (2, 1, template_tokens, C).

    Returns (7 + G x G + N x N,), box and score, see `decode_on_device`, `response_at` the box, the target's scale, see
    `ScaleFilter.scale`, all cells' scores, and the filter's response everywhere, see `CorrelationFilter.respond`; the
    fused crop (3, S, S), about [0, 1]; `spectrum_of` and `sizes_of` it.
    """
    fused = network.fuse(*sample_pair(crop))
    with products_in(dtype, fused.device):
        maps = network.predict(network.encode_search(*templates, fused))
    spectrum = spectrum_of(fused[0])
    response = appearance.correlation_filter.respond(spectrum)
    window = crop.window * preference(response, len(crop.window))
    box, score = decode_on_device(maps.score[0, 0], maps.size[0], maps.offset[0].float(), window).split((4, 1))
    box = recentred(box, response, score)
    sizes = sizes_of(fused[0], box, appearance.sides)
    said = torch.stack((response_at(box, response), appearance.scale_filter.scale(sizes)))
    answer = torch.cat((box, score, said, maps.score.float().flatten(), response.flatten()))
    return answer, fused[0], spectrum, sizes


@full_float32()
def learn_step(appearance: Appearance, lesson: Lesson) -> Appearance:
    """What is known after one more frame, see `Appearance.learn`."""
    return appearance.learn(lesson.spectrum, lesson.sizes, lesson.numbers[:4], lesson.numbers[4])


def capture(step: Callable, stream: torch.cuda.Stream) -> Callable:
    """`step` as a CUDA graph: called, it computes into the tensors that it returned first, and returns them.

    Raises what PyTorch, Triton or a library raises where it cannot be captured.
    """
    stream.wait_stream(torch.cuda.current_stream(stream.device))  # for the weights
    with torch.cuda.stream(stream):  # and on its GPU: `torch.cuda.graph` would open a context on the first one
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
