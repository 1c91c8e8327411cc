"""Encoder and head run by ONNX Runtime on the CPU, the fusion by our own kernel or PyTorch."""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from tpf_model.config import AUTO, load_variant
from tpf_model.runtime.fuse import fusion_of_images
from tpf_model.runtime.in_parts import SessionInParts
from tpf_model.runtime.onnx_export import export_onnx
from tpf_model.runtime.onnx_file import INPUTS, OUTPUTS, Description, is_intact
from tpf_model.runtime.session import SessionInfo
from tpf_model.selective_scan import resolve_backend
from tpf_model.weights import WeightsError, check_model, load_network

SUFFIX = ".onnx"
PRECISIONS = ("float32", "int8")  # in which ONNX Runtime multiplies on CPUs; float16 it would convert in every frame


class OnnxSession(SessionInParts):
    """A `TPFSession` over an ONNX file of `export_onnx`.

    file: its bytes. name: what errors call it. threads: of ONNX Runtime, the calling one included. scan: a backend of
    `selective_scan`. WeightsError where the file cannot be used, ValueError where ONNX Runtime is missing.
    """

    def __init__(self, file: bytes, name: str, threads: int = 1, scan: str = "auto"):
        self._session = _open_graph(file, name, threads)
        description = Description.from_metadata(self._session.get_modelmeta().custom_metadata_map, name)
        if not is_intact(file):
            raise WeightsError(f"{name} is damaged, or was changed after its export: its checksum is wrong")
        self._fuse_images = fusion_of_images(description.open_fusion(scan, name))
        self.config = description.config
        self.info = SessionInfo(
            model=self.config.name,
            runtime="onnx",
            scan=resolve_backend(scan, "cpu") if self.config.fusion == "pfa" else "none",
            precision=description.precision,
            device="cpu",
            weights=description.provenance,
            parameters=description.parameters,
        )

    @torch.inference_mode()
    def fuse(self, visible: np.ndarray, thermal: np.ndarray) -> Tensor:
        return self._fuse_images(visible, thermal)

    def prepare(self, template: Tensor) -> np.ndarray:
        """The image itself (1, 3, T, T): making its tokens is half a percent of the network."""
        return template[None].numpy()

    def predict(
        self, initial: np.ndarray, dynamic: np.ndarray, search: Tensor
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        crops = dict(zip(INPUTS, (initial, dynamic, search[None].numpy())))
        score, size, offset = self._session.run(OUTPUTS, crops)
        return score[0, 0], size[0], offset[0]


def open_onnx_session(
    model: str, weights: Path | str | None, threads: int = 1, scan: str = "auto", precision: str = "auto"
) -> OnnxSession:
    """The session of an exported file, where `weights` ends in .onnx, else of weights that are exported in memory.

    model, weights otherwise: see `load_network`. precision: "float32" or "int8"; "auto" is the file's, or float32.
    """
    if precision not in ("auto", *PRECISIONS):
        raise ValueError(f"runtime 'onnx' cannot run in {precision!r}; known: auto, {', '.join(PRECISIONS)}")
    if not is_exported(weights):
        network, provenance = load_network(model, weights, scan)
        chosen = "float32" if precision == "auto" else precision
        name = f"the export of {weights or network.config.name}"
        return OnnxSession(export_onnx(network, provenance, chosen, portable=False), name, threads, scan)
    name = f"weights file {weights}"
    wanted = None if model == AUTO else load_variant(model)
    try:
        file = Path(weights).read_bytes()
    except OSError as error:
        raise WeightsError(f"{name} cannot be read: {error.strerror}") from error
    session = OnnxSession(file, name, threads, scan)
    if wanted:
        check_model(session.config, wanted, name)
    if session.info.precision not in PRECISIONS:
        raise WeightsError(f"{name} holds {session.info.precision}; runtime 'onnx' runs: {', '.join(PRECISIONS)}")
    if precision not in ("auto", session.info.precision):
        raise ValueError(f"{name} holds {session.info.precision}, but precision is {precision!r}; 'auto' would do")
    return session


def is_exported(weights: Path | str | None) -> bool:
    """Whether `weights` names an exported file rather than one of safetensors."""
    return weights is not None and Path(weights).suffix.lower() == SUFFIX


def _open_graph(file: bytes, name: str, threads: int):
    """An onnxruntime.InferenceSession."""
    try:
        import onnxruntime
    except ImportError as error:
        raise ValueError(f"runtime 'onnx' needs the package onnxruntime ({error}): pip install onnxruntime") from error
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # errors
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1  # the graph is one chain
    # Threads that wait in a loop for the next frame would take the cores from PyTorch's and OpenCV's.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        return onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # its exceptions have no common base
        raise WeightsError(f"{name} is damaged, or no ONNX file: {error}") from error
