"""Expert `torchscript`: a fusion network as a TorchScript file, what `torch.jit.save` writes.

`forward(visible, thermal)` takes the visible image's luminance and thermal, both (1, 1, H, W) float32 in [0, 1], of any
H and W, and gives the fused luminance, (1, 1, H, W) float32 in [0, 1].
"""

import torch

from tpf_training.mad.expert_config import ExpertConfig
from tpf_training.mad.experts.expert import ExpertError, content_key
from tpf_training.mad.experts.tensor_expert import TensorExpert


def open_torchscript(config: ExpertConfig, device: torch.device) -> TensorExpert:
    path, where = config.path, f"expert {config.name!r}: {config.path}"
    if not path.is_file():
        raise ExpertError(f"{where}: no such file")
    try:
        network = torch.jit.load(str(path), map_location=device).eval()
    except (RuntimeError, ValueError) as error:
        raise ExpertError(f"{where}: not a usable TorchScript file: {error}") from error
    arguments = [argument.name for argument in network.forward.schema.arguments[1:]]
    if len(arguments) != 2:
        raise ExpertError(f"{where}: forward takes {arguments or 'nothing'}, must take visible and thermal")
    return TensorExpert(config.name, content_key(path), network, device)
