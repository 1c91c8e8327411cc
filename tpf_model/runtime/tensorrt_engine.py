"""A TensorRT engine from an ONNX file of ours. Built only: nothing here runs one."""

import torch


def require_tensorrt():
    """The module tensorrt; ValueError where it is missing or too old."""
    try:
        import tensorrt
    except ImportError as error:
        raise ValueError(
            f"an engine needs NVIDIA's package tensorrt ({error}): pip install tensorrt-cu12 (several GB); on a Jetson "
            "it is part of JetPack"
        ) from error
    if not hasattr(tensorrt.NetworkDefinitionCreationFlag, "STRONGLY_TYPED"):
        raise ValueError(f"TensorRT {tensorrt.__version__} chooses layers' precisions itself: 10 or later is needed")
    return tensorrt


def build_engine(file: bytes) -> tuple[bytes, dict[str, str]]:
    """The serialised engine of an ONNX file of `export_onnx`, and what it is tied to: TensorRT's version and the GPU.

    Shapes are the file's, which are static, and each layer has the precision that the file gives it. ValueError where
    TensorRT or a GPU is missing, or where TensorRT refuses the file, with its reason.
    """
    trt = require_tensorrt()
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
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else "unknown: PyTorch has no CUDA here"
    return bytes(engine), {"tensorrt": trt.__version__, "gpu": gpu}
