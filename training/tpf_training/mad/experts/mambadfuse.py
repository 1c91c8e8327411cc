"""Expert `mambadfuse`: MambaDFuse (Li et al., 2024), from a checkout of the authors' repository.

    git clone https://github.com/Lizhe1228/MambaDFuse

which has the weights in it (`Model/Infrared_Visible_Fusion/...`); `pip install timm einops`. The patched mamba_ssm
1.0.1 that its README asks for is not needed: `mamba_kernels.py` stands in for it, on this project's selective scan, so
it runs on CUDA and on a CPU (minutes for 640x480).
"""

import contextlib
import io

import torch
from torch import Tensor

from tpf_training.mad.expert_config import ExpertConfig
from tpf_training.mad.experts.checkout import Checkout
from tpf_training.mad.experts.expert import content_key
from tpf_training.mad.experts.mamba_kernels import mamba_ssm_modules
from tpf_training.mad.experts.tensor_expert import TensorExpert

URL = "https://github.com/Lizhe1228/MambaDFuse"
WEIGHTS = "Model/Infrared_Visible_Fusion/Infrared_Visible_Fusion/models/10000_E.pth"
WINDOW = 8


def open_mambadfuse(config: ExpertConfig, device: torch.device) -> TensorExpert:
    checkout = Checkout.of(config, URL, ["models/network.py", "mamba_simple.py"], WEIGHTS)
    kernels = mamba_ssm_modules()
    (mamba_simple,) = checkout.modules("mamba_simple", stand_ins=kernels)
    (network_module,) = checkout.modules(
        "models.network", stand_ins=kernels | {"mamba_ssm.modules.mamba_simple": mamba_simple}
    )
    with contextlib.redirect_stdout(io.StringIO()):  # it prints its number of channels
        network = network_module.MambaDFuse(in_chans=1, img_size=128, window_size=WINDOW, img_range=1.0, embed_dim=60)
    state = checkout.read_weights()
    network = checkout.load(network, state.get("params", state), "MambaDFuse").to(device)

    def run(visible: Tensor, thermal: Tensor) -> Tensor:
        height, width = visible.shape[-2:]
        return network(_mirror(thermal), _mirror(visible))[..., :height, :width]

    return TensorExpert(config.name, content_key(checkout.weights), run, device)


def _mirror(image: Tensor) -> Tensor:
    """Padded to the next multiple of WINDOW by its mirror image, as in the authors' test_MambaDFuse.py."""
    for axis in (2, 3):
        size = image.shape[axis]
        image = torch.cat([image, image.flip(axis)], dim=axis).narrow(axis, 0, (size // WINDOW + 1) * WINDOW)
    return image
