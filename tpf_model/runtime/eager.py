"""The network run by PyTorch as it is, on the CPU or a CUDA GPU."""

import numpy as np
import torch
from torch import Tensor

from tpf_model.encoder_native import has_native_blocks, use_native_blocks
from tpf_model.head import MergedHead
from tpf_model.network import TPFNetwork, count_parameters
from tpf_model.runtime.fuse import fusion_of_images
from tpf_model.runtime.in_parts import SessionInParts
from tpf_model.runtime.packed_linear import can_pack, pack_linear_layers
from tpf_model.runtime.precision import PRECISIONS, full_float32, products_in, reduce_precision, resolve_precision
from tpf_model.runtime.session import SessionInfo
from tpf_model.selective_scan import resolve_backend


class EagerSession(SessionInParts):
    """A `TPFSession` over a `TPFNetwork`, which it takes over: moved to `device`, in eval mode, changed to be faster.

    precision: "auto", or a key of PRECISIONS; one below float32 stores the weights of the encoder's and the head's
    matrix products in it. The fusion, with its long scan, stays in float32.
    """

    runtime = "eager"

    def __init__(
        self,
        network: TPFNetwork,
        provenance: dict,
        device: torch.device | str = "cpu",
        precision: str = "auto",
        scan: str = "auto",
    ):
        self._device = torch.device(device)
        precision = resolve_precision(precision, self._device)
        self._dtype = PRECISIONS[precision]
        network = network.eval()
        parameters = count_parameters(network)
        self._optimise(network)
        # Before the move, so that the device never holds the larger ones.
        reduce_precision(network, self._dtype)
        self._network = network.to(self._device)
        self._pack(network)
        self._fuse_images = fusion_of_images(network.fusion, self._device)
        self.config = network.config
        self.info = SessionInfo(
            model=network.config.name,
            runtime=self.runtime,
            scan=resolve_backend(scan, self._device) if network.config.fusion == "pfa" else "none",
            precision=precision,
            device=_device_name(self._device),
            weights=provenance,
            parameters=parameters,
        )

    def _optimise(self, network: TPFNetwork) -> None:
        """What is faster and computes the same."""
        network.encoder.fold()
        network.head.fold_norms()
        if self._device.type == "cpu":
            network.head = MergedHead(network.head)
            if self._dtype is torch.float32 and has_native_blocks(network.encoder):
                use_native_blocks(network.encoder)
        network.head.to(memory_format=torch.channels_last)  # as its features are; and tensor cores work in it

    def _pack(self, network: TPFNetwork) -> None:
        if self._dtype is torch.bfloat16 and self._device.type == "cpu" and can_pack():
            pack_linear_layers(network.encoder)

    @torch.inference_mode()
    def fuse(self, visible: np.ndarray, thermal: np.ndarray) -> Tensor:
        return self._fuse_images(visible, thermal)

    @torch.inference_mode()
    def prepare(self, template: Tensor) -> Tensor:
        """The template's tokens (1, template_tokens, C)."""
        with full_float32(), products_in(self._dtype, self._device):
            return self._network.embed_template(template[None])

    @torch.inference_mode()
    def predict(self, initial: Tensor, dynamic: Tensor, search: Tensor) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        with full_float32(), products_in(self._dtype, self._device):
            maps = self._network.predict(self._network.encode_search(initial, dynamic, search[None]))
        # One tensor, so that a GPU is waited for once.
        score, size, offset = torch.cat((maps.score[0], maps.size[0], maps.offset[0].float())).cpu().split((1, 2, 2))
        return score[0].numpy(), size.numpy(), offset.numpy()


def _device_name(device: torch.device) -> str:
    return f"{device} ({torch.cuda.get_device_name(device)})" if device.type == "cuda" else str(device)
