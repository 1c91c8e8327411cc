"""Linear layers in bfloat16 on a CPU, with weights that lie as oneDNN's kernels read them.

PyTorch gives oneDNN the weights as they are, and it rearranges them in each call, on one thread. Here that is done
once, by the operators that `torch.compile` uses for it, which have no public name.
"""

import logging

import torch
from torch import Tensor, nn

from tpf_model.backbone import VisionTransformer
from tpf_model.cpu import multiplies_in_bfloat16

_log = logging.getLogger(__name__)
_OPERATORS = "_reorder_linear_weight", "_linear_pointwise"


class PackedLinear(nn.Module):
    """`linear`, in bfloat16, best for inputs of `rows` tokens; activation: what follows it, "none" or "gelu"."""

    def __init__(self, linear: nn.Linear, rows: int, activation: str = "none"):
        super().__init__()
        self._weight = torch.ops.mkldnn._reorder_linear_weight(linear.weight.detach(), rows)
        self._bias = linear.bias.detach()
        self._activation = activation

    def forward(self, x: Tensor) -> Tensor:
        x = x.to(self._bias.dtype)
        return torch.ops.mkldnn._linear_pointwise(x, self._weight, self._bias, self._activation, [], "none")


def can_pack() -> bool:
    """Whether this CPU multiplies in bfloat16 by itself, and this PyTorch has the operators."""
    if not multiplies_in_bfloat16():
        return False
    missing = [name for name in _OPERATORS if not hasattr(torch.ops.mkldnn, name)]
    if missing:
        _log.warning("bfloat16 is slower than it could be: PyTorch %s lacks %s", torch.__version__, ", ".join(missing))
    return not missing


def pack_linear_layers(encoder: VisionTransformer) -> None:
    """Replace the linear layers, which are in bfloat16, for inference on one frame."""
    template, search = encoder.pos_template.shape[1], encoder.pos_search.shape[1]
    tokens = 1 + 2 * template + search
    encoder.patch_embed.proj = PackedLinear(encoder.patch_embed.proj, search)
    for block in encoder.blocks:
        attention, mlp = block.attn, block.mlp
        attention.qkv, attention.proj = PackedLinear(attention.qkv, tokens), PackedLinear(attention.proj, tokens)
        block.mlp = nn.Sequential(PackedLinear(mlp.fc1, tokens, "gelu"), PackedLinear(mlp.fc2, tokens))
