"""Expert `onnx`: a fusion network as an ONNX file, run by ONNX Runtime (`pip install tpf_training[onnx]`).

The file's inputs are named `visible` (luminance) and `thermal`, both (1, 1, H, W) float32 in [0, 1]; its only output is
the fused luminance, (1, 1, H, W) float32 in [0, 1]. H and W are to be dynamic, for instance
`torch.onnx.export(network, (visible, thermal), "expert.onnx", input_names=["visible", "thermal"],
dynamic_axes={"visible": {2: "h", 3: "w"}, "thermal": {2: "h", 3: "w"}})`, which may put the weights into a file
beside it.
"""

from pathlib import Path

import torch
from torch import Tensor

from tpf_training.mad.expert_config import ExpertConfig
from tpf_training.mad.experts.expert import ExpertError, content_key
from tpf_training.mad.experts.tensor_expert import TensorExpert

INPUTS = ["thermal", "visible"]


def open_onnx(config: ExpertConfig, device: torch.device) -> TensorExpert:
    try:
        import onnxruntime
    except ImportError as error:
        raise ExpertError(f"expert {config.name!r}: needs onnxruntime: pip install tpf_training[onnx]") from error
    path, where = config.path, f"expert {config.name!r}: {config.path}"
    if not path.is_file():
        raise ExpertError(f"{where}: no such file")
    wanted = ["CUDAExecutionProvider"] if device.type == "cuda" else []
    lacking = set(wanted) - set(onnxruntime.get_available_providers())
    if lacking:
        raise ExpertError(f"{where}: this onnxruntime has no CUDA: pip install onnxruntime-gpu, or use the CPU")
    try:
        session = onnxruntime.InferenceSession(str(path), providers=[*wanted, "CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's own exceptions have no common base class of theirs
        raise ExpertError(f"{where}: not a usable ONNX file: {error}") from error
    inputs, outputs = session.get_inputs(), session.get_outputs()
    if sorted(value.name for value in inputs) != INPUTS or len(outputs) != 1:
        found = f"inputs {[v.name for v in inputs]} and outputs {[v.name for v in outputs]}"
        raise ExpertError(f"{where}: has {found}, must have the inputs visible and thermal, and one output")
    for value in (*inputs, *outputs):
        if value.type != "tensor(float)" or len(value.shape) != 4:
            found = f"{value.name} is {value.type} of shape {value.shape}"
            raise ExpertError(f"{where}: {found}, must be (1, 1, H, W) float32")

    def run(visible: Tensor, thermal: Tensor) -> Tensor:
        for value in inputs:
            if any(isinstance(size, int) and size != given for size, given in zip(value.shape, visible.shape)):
                taken = f"takes {value.shape} only, not {list(visible.shape)}"
                raise ExpertError(f"{where}: {value.name} {taken}; export it with dynamic axes")
        (fused,) = session.run(None, {"visible": visible.cpu().numpy(), "thermal": thermal.cpu().numpy()})
        return torch.from_numpy(fused)

    return TensorExpert(config.name, content_key(path, *_beside(path)), run)


def _beside(path: Path) -> list[Path]:
    """The files in the folder of `path` that it names: there its weights are, where they are not in it."""
    content = path.read_bytes()
    files = (file for file in path.parent.iterdir() if file != path and file.is_file())
    return sorted(file for file in files if file.name.encode() in content)
