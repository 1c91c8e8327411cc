"""A TensorRT engine from an ONNX file of ours. Built only: nothing here runs one."""

from importlib import import_module
from types import ModuleType

import torch

# What can build one, by its module: how it is installed.
PACKAGES = {
    "tensorrt": "pip install tensorrt-cu12 (several GB); on a Jetson it is part of JetPack",
    "tensorrt_rtx": "pip install tensorrt-rtx-cu12 (90 MB)",
}


def require_tensorrt(name: str) -> ModuleType:
    """The module `name` of PACKAGES; ValueError where it is missing or too old."""
    try:
        module = import_module(name)
    except ImportError as error:
        raise ValueError(f"an engine needs NVIDIA's package {name} ({error}): {PACKAGES[name]}") from error
    if not hasattr(module.NetworkDefinitionCreationFlag, "STRONGLY_TYPED"):
        raise ValueError(f"TensorRT {module.__version__} chooses layers' precisions itself: 10 or later is needed")
    return module


def build_engine(trt: ModuleType, file: bytes) -> tuple[bytes, dict[str, str]]:
    """The serialised engine that `trt`, of PACKAGES, makes of an ONNX file of `export_onnx`, and what it is tied to.

    Shapes are the file's, which are static, and each layer has the precision that the file gives it. `tensorrt` tries
    out what is fast on this machine's GPU, and its engine runs on such ones alone; `tensorrt_rtx` needs no GPU, as the
    one that runs its engine compiles the rest. ValueError where `tensorrt` finds no GPU, or the file is refused, with
    the reason.
    """
    logger = trt.Logger(trt.Logger.WARNING)
    try:
        builder = trt.Builder(logger)
    except TypeError as error:  # what the bindings make of a null pointer
        raise ValueError("TensorRT cannot build here: it finds no CUDA GPU or driver") from error
    network = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    parser = trt.OnnxParser(network, logger)
    if not parser.parse(file):
        reasons = "; ".join(parser.get_error(index).desc() for index in range(parser.num_errors))
        raise ValueError(f"TensorRT {trt.__version__} cannot read the network: {reasons}")
    engine = builder.build_serialized_network(network, builder.create_builder_config())
    if engine is None:
        raise ValueError(f"TensorRT {trt.__version__} built no engine; its messages above say why")
    return bytes(engine), {trt.__name__: trt.__version__, "gpu": _gpu(trt)}


def _gpu(trt: ModuleType) -> str:
    if trt.__name__ == "tensorrt_rtx":
        return "NVIDIA Ampere or later"
    return torch.cuda.get_device_name() if torch.cuda.is_available() else "unknown: PyTorch has no CUDA here"
