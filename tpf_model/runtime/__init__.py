"""How a network is executed. `open_session` is the way in."""

import threading
from pathlib import Path

import numpy as np
import torch

from tpf_model.appearance import first_appearance
from tpf_model.config import AUTO
from tpf_model.crop import Crop
from tpf_model.frame import Frame
from tpf_model.registration import Registration
from tpf_model.runtime.cuda_graph import CudaGraphSession
from tpf_model.runtime.eager import EagerSession
from tpf_model.runtime.onnx_session import PRECISIONS as ONNX_PRECISIONS
from tpf_model.runtime.onnx_session import is_exported, open_onnx_session
from tpf_model.runtime.precision import PRECISIONS
from tpf_model.runtime.session import Located, SessionInfo, Template, TPFSession, fused_to_image
from tpf_model.weights import load_network

RUNTIMES = ("auto", "eager", "cuda_graph", "onnx")
# Held by who opens a session: a process can capture one CUDA graph at a time, and wait for no GPU meanwhile.
_opening = threading.Lock()

__all__ = ["RUNTIMES", "Located", "SessionInfo", "TPFSession", "Template", "fused_to_image", "open_session"]


def open_session(
    model: str = AUTO,
    device: str = "auto",
    runtime: str = "auto",
    weights: Path | str | None = None,
    threads: int = 0,
    scan: str = "auto",
    precision: str = "auto",
) -> TPFSession:
    """Load a model, and run it once, so that the first frame is as fast as the others and what cannot run fails here.

    device: "auto" (a CUDA GPU if there is one), "cpu", "cuda" or "cuda:N". runtime: "auto" ("onnx" for an exported
    file, "cuda_graph" on a GPU, "eager" elsewhere) or one of RUNTIMES. model, weights: see `load_network`; for runtime
    "onnx" also a file of `tpf export`. threads: of this whole process's PyTorch, and of ONNX Runtime; 0 leaves
    PyTorch's default. scan: a backend of `selective_scan`. precision: "auto" (what the device multiplies in natively;
    for "onnx" the exported file's, or float32), "float32", "bfloat16", "float16", or, for "onnx" alone, "int8".

    Raises ValueError naming the argument that cannot be satisfied and why; its subclass WeightsError for the weights.
    """
    if runtime not in RUNTIMES:
        raise ValueError(f"unknown runtime {runtime!r}; known: {', '.join(RUNTIMES)}")
    if threads < 0:
        raise ValueError(f"threads is {threads}, must be >= 0 (0: PyTorch's default)")
    with _opening:
        if runtime == "onnx" or runtime == "auto" and is_exported(weights):
            if device not in ("auto", "cpu"):
                raise ValueError(f"runtime 'onnx' runs on the CPU: device is {device!r}, must be auto or cpu")
            session = open_onnx_session(model, weights, threads or torch.get_num_threads(), scan, precision)
        else:
            session = _open_with_pytorch(model, device, runtime, weights, scan, precision)
        if threads:
            torch.set_num_threads(threads)
        _warm_up(session)
    return session


def _open_with_pytorch(
    model: str, device: str, runtime: str, weights: Path | str | None, scan: str, precision: str
) -> EagerSession:
    if precision not in ("auto", *PRECISIONS):
        hint = "; runtime 'onnx' has it" if precision in ONNX_PRECISIONS else ""
        raise ValueError(f"PyTorch cannot run in {precision!r}; known: auto, {', '.join(PRECISIONS)}{hint}")
    if is_exported(weights):
        raise ValueError(f"weights file {weights} is an exported one, which runtime 'onnx' runs, not {runtime!r}")
    chosen = _resolve_device(device)
    make_session = _resolve_runtime(runtime, chosen)
    network, provenance = load_network(model, weights, scan, str(chosen))
    return make_session(network, provenance, chosen, precision, scan)


def _resolve_device(name: str) -> torch.device:
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        device = None
    if device is None or device.type not in ("cpu", "cuda"):
        raise ValueError(f"unknown device {name!r}; known: auto, cpu, cuda, cuda:N")
    if device.type == "cuda":
        _require_gpu(name, device.index or 0)
    return device


def _require_gpu(name: str, index: int) -> None:
    if torch.version.cuda is None:
        raise ValueError(f"device {name!r} cannot be used: this PyTorch ({torch.__version__}) is built without CUDA")
    if not torch.cuda.is_available():
        raise ValueError(f"device {name!r} cannot be used: PyTorch finds no CUDA GPU or driver; 'cpu' and 'auto' work")
    if index >= torch.cuda.device_count():
        raise ValueError(f"device {name!r} does not exist: this machine has {torch.cuda.device_count()} CUDA GPU(s)")


def _resolve_runtime(name: str, device: torch.device) -> type[EagerSession]:
    if name == "auto":
        name = "cuda_graph" if device.type == "cuda" else "eager"
    if name == "cuda_graph" and device.type != "cuda":
        raise ValueError(f"runtime 'cuda_graph' cannot run on device {device}: it needs a CUDA GPU; 'eager' does not")
    return CudaGraphSession if name == "cuda_graph" else EagerSession


def _warm_up(session: TPFSession) -> None:
    config, registration = session.config, Registration.identity()
    side, cells = config.search_size, config.search_size // config.patch
    frame = Frame(np.zeros((side, side, 3), np.uint8), np.zeros((side, side), np.uint8))
    template = session.embed(frame, Crop(0, 0, config.template_size, config.template_size), registration)
    view = template, template, frame, Crop(0, 0, side, side), registration, np.ones((cells, cells), np.float32)
    middle = (0.4, 0.4, 0.2, 0.2)
    appearance = first_appearance(session.locate(*view).fused, middle)
    located = session.locate(*view, appearance)
    session.learn(appearance, located, middle, 0.5)
