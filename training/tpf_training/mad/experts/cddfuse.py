"""Expert `cddfuse`: CDDFuse (Zhao et al., CVPR 2023), from a checkout of the authors' repository.

    git clone https://github.com/Zhaozixiang1228/MMIF-CDDFuse

which has the weights in it (`models/CDDFuse_IVF.pth`); `pip install timm einops`. Runs on CUDA and on a CPU (half a
minute for 640x480). As in the authors' `test_IVF.py`, the output is stretched to its own minimum and maximum.
"""

import torch
from torch import Tensor

from tpf_training.mad.expert_config import ExpertConfig
from tpf_training.mad.experts.checkout import Checkout
from tpf_training.mad.experts.expert import ExpertError, content_key
from tpf_training.mad.experts.tensor_expert import TensorExpert

URL = "https://github.com/Zhaozixiang1228/MMIF-CDDFuse"


def open_cddfuse(config: ExpertConfig, device: torch.device) -> TensorExpert:
    checkout = Checkout.of(config, URL, ["net.py"], "models/CDDFuse_IVF.pth")
    (net,) = checkout.modules("net")
    networks = {
        "DIDF_Encoder": net.Restormer_Encoder(),
        "DIDF_Decoder": net.Restormer_Decoder(),
        "BaseFuseLayer": net.BaseFeatureExtraction(dim=64, num_heads=8),
        "DetailFuseLayer": net.DetailFeatureExtraction(num_layers=1),
    }
    state = checkout.read_weights()
    lacking = [key for key in networks if key not in state]
    if lacking:
        found = f"lacks {', '.join(lacking)}; has {', '.join(state)}"
        raise ExpertError(f"expert {config.name!r}: {checkout.weights} {found}")
    encoder, decoder, fuse_base, fuse_detail = (
        checkout.load(network, state[key], key).to(device) for key, network in networks.items()
    )

    def run(visible: Tensor, thermal: Tensor) -> Tensor:
        (v_base, v_detail, _), (t_base, t_detail, _) = encoder(visible), encoder(thermal)
        fused, _ = decoder(visible, fuse_base(v_base + t_base), fuse_detail(v_detail + t_detail))
        low, high = fused.aminmax()
        return (fused - low) / (high - low).clamp(min=1e-6)

    return TensorExpert(config.name, content_key(checkout.weights), run, device)
