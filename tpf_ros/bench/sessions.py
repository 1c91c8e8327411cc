"""The sessions and fusion adapters that rows compare, and what is asked of them."""

import functools
from collections.abc import Callable

import torch

from tpf_model.config import AUTO
from tpf_model.fusion import PixelFusionAdapter
from tpf_model.network import TPFNetwork
from tpf_model.runtime import TPFSession, open_session
from tpf_model.runtime.cuda_graph import capture
from tpf_model.runtime.eager import EagerSession
from tpf_model.runtime.in_parts import SessionInParts
from tpf_model.runtime.precision import full_float32
from tpf_model.selective_scan import resolve_backend
from tpf_model.tracker import Tracker, TrackerConfig
from tpf_model.weights import RANDOM, load_network, shipped_weights
from tpf_ros.bench.conditions import Conditions
from tpf_ros.bench.row import NotMeasured
from tpf_ros.bench.scene import BOX, make_scene

SEARCH_SIZE = 256  # pixels, of every variant
INT8 = {"runtime": "onnx", "precision": "int8"}


def open_here(model: str, device: torch.device | str, conditions: Conditions, **choices) -> TPFSession:
    """`open_session`, untrained where no weights ship; NotMeasured where it cannot run here."""
    if model != AUTO:
        choices.setdefault("weights", _weights(model))
    try:
        return open_session(model, str(device), threads=conditions.threads, **choices)
    except ValueError as error:
        raise NotMeasured(str(error)) from error


class PlainSession(EagerSession):
    """What all are compared with: PyTorch and the network as they are, no compiled kernels, no lower precision."""

    def _optimise(self, network: TPFNetwork) -> None:
        pass


def open_plain(model: str, device: torch.device | str) -> PlainSession:
    """A `PlainSession`, untrained where no weights ship; it runs on as many threads as PyTorch is set to."""
    scan = "blocked"
    return PlainSession(*load_network(model, _weights(model), scan, str(device)), device, "float32", scan)


def _weights(model: str) -> str | None:
    return None if shipped_weights(model).is_file() else RANDOM


def frame_call(session: TPFSession) -> Callable[[], object]:
    """Track one frame, from two images to a box, and learn from it, whatever an untrained network's score is."""
    tracker, frame = Tracker(session, TrackerConfig(coast_score=0, template_score=0)), make_scene()
    tracker.init(frame, BOX)
    return lambda: tracker.track(frame)


def encoder_call(session: SessionInParts) -> Callable[[], object]:
    """The encoder and the head alone: from a fused crop and prepared templates to the head's maps."""
    config = session.config
    template, search = (torch.rand(3, side, side) for side in (config.template_size, config.search_size))
    prepared = session.prepare(template)
    return lambda: session.predict(prepared, prepared, search)


def adapter_call(scan: str, device: torch.device | str, compiled: bool = False) -> Callable[[], object]:
    """Fuse, a token a pixel, a search crop that is on the device already, `compiled` by torch.compile or not.

    On a GPU as a CUDA graph: launched one by one, the kernels would be waiting for the CPU. NotMeasured where
    the scan's backend cannot run there.
    """
    try:
        resolve_backend(scan, device)
    except ValueError as error:
        raise NotMeasured(str(error)) from error
    adapter = PixelFusionAdapter(scan=scan).eval().to(device)
    adapter = torch.compile(adapter) if compiled else adapter
    visible, thermal = torch.rand(2, 1, 3, SEARCH_SIZE, SEARCH_SIZE, device=device)
    call = full_float32()(torch.inference_mode()(functools.partial(adapter, visible, thermal)))
    return capture(call, torch.cuda.Stream(visible.device)) if visible.device.type == "cuda" else call


def label(session: TPFSession) -> str:
    """How a session runs, in words."""
    info = session.info
    return f"{info.runtime} {info.precision}, scan {info.scan}"
