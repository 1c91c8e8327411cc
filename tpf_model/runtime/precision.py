"""Which parts of a network compute in fewer bits than float32."""

import contextlib
from collections.abc import Iterator

import torch
from torch import nn

from tpf_model.cpu import multiplies_in_bfloat16
from tpf_model.network import TPFNetwork

PRECISIONS = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


def resolve_precision(name: str, device: torch.device) -> str:
    """`name`, a key of PRECISIONS; for "auto" the fastest that `device` multiplies in by itself."""
    if name != "auto":
        return name
    if device.type == "cuda":
        with torch.cuda.device(device):  # the one that PyTorch asks
            return "bfloat16" if torch.cuda.is_bf16_supported(including_emulation=False) else "float16"
    return "bfloat16" if multiplies_in_bfloat16() else "float32"


def reduce_precision(network: TPFNetwork, dtype: torch.dtype) -> None:
    """Store the weights of the encoder's and the head's products in `dtype`: autocast would convert them every frame.

    The fusion, with its long scan, stays in float32.
    """
    for part in (network.encoder, network.head):
        for module in part.modules():
            if isinstance(module, (nn.Linear, nn.Conv2d)):
                module.to(dtype)


def products_in(dtype: torch.dtype, device: torch.device) -> torch.autocast:
    """The context in which the encoder and the head of such a network run; nothing changes for float32."""
    # Nothing is left to cache, and what is cached while a CUDA graph is captured does not outlive the capture.
    return torch.autocast(device.type, dtype, enabled=dtype != torch.float32, cache_enabled=False)


@contextlib.contextmanager
def full_float32() -> Iterator[None]:
    """Convolutions of float32 inside are computed in it: on a GPU PyTorch's default for them is TF32, of 10 bits.

    The setting is the process's, so it is as it was before again afterwards; a CUDA graph keeps what it was captured
    with. Matrix products have a setting of their own, whose default is float32.
    """
    cudnn = torch.backends.cudnn
    if hasattr(cudnn, "conv"):  # PyTorch 2.9: once a program has used this setting, the older one raises errors
        setting, name, wanted = cudnn.conv, "fp32_precision", "ieee"
    else:
        setting, name, wanted = cudnn, "allow_tf32", False
    before = getattr(setting, name)
    setattr(setting, name, wanted)
    try:
        yield
    finally:
        setattr(setting, name, before)
