"""Expert `diff_if`: Diff-IF (Yi et al., Information Fusion 2024), from a checkout of the authors' repository.

    git clone https://github.com/XunpengYi/Diff-IF

Its README links to the weights for infrared and visible images; put them into `weights/` of the checkout, as
`IVF_weights_gen.pth`; `pip install einops tqdm`. Made for CUDA; a CPU takes minutes for 640x480.

The 4 DDIM steps of the authors' `infer_ddim.py`. They start from noise, which here is the same for every image of one
size, so a pair always gives one result. Sides that are no multiples of 8 are padded, not resized, so that pixels stay
where they are.
"""

import torch
from torch import Tensor
from torch.nn import functional

from tpf_training.mad.expert_config import ExpertConfig
from tpf_training.mad.experts.checkout import Checkout
from tpf_training.mad.experts.expert import content_key
from tpf_training.mad.experts.tensor_expert import TensorExpert

URL = "https://github.com/XunpengYi/Diff-IF"
# The checkout's config/diff-if-ivf_val.json, and the groups that its model/networks.py fills in.
UNET = {
    "in_channel": 3,
    "out_channel": 1,
    "inner_channel": 48,
    "channel_mults": [1, 2, 4, 6],
    "attn_res": [16],
    "res_blocks": 2,
    "dropout": 0.1,
    "norm_groups": 24,
}
SCHEDULE = {"schedule": "linear", "n_timestep": 1000, "linear_start": 1e-6, "linear_end": 1e-2}
MULTIPLE = 8


def open_diff_if(config: ExpertConfig, device: torch.device) -> TensorExpert:
    names = [f"model.diffif_modules.{part}" for part in ("diffusion", "unet", "finetune_arch")]
    files = [f"{name.replace('.', '/')}.py" for name in names]
    checkout = Checkout.of(config, URL, files, "weights/IVF_weights_gen.pth")
    diffusion, unet, refinement = checkout.modules(*names)
    diffusion.tqdm = lambda steps, **_: steps  # no progress bar for four steps of every image
    network = diffusion.GaussianDiffusion(
        unet.UNet(**UNET), refinement.Restormer_fn(in_channel=1, out_channel=1), image_size=None, conditional=True
    )
    network.set_new_noise_schedule(SCHEDULE, torch.device("cpu"))  # its buffers are in the checkpoint
    network = checkout.load(network, checkout.read_weights(), "Diff-IF's network").to(device)

    def run(visible: Tensor, thermal: Tensor) -> Tensor:
        height, width = visible.shape[-2:]
        missing = 0, -width % MULTIPLE, 0, -height % MULTIPLE
        images = {"vis": visible, "ir": thermal}
        images = {name: functional.pad(image, missing, "reflect") * 2 - 1 for name, image in images.items()}
        with torch.random.fork_rng():
            torch.manual_seed(0)
            fused = network.super_resolution_ddim(images)[0]
        return (fused[None, :, :height, :width] + 1) / 2

    return TensorExpert(config.name, content_key(checkout.weights), run, device)
