"""A network as an ONNX file: encoder and head as one graph of static shapes, all else in its metadata."""

import copy
import io
import warnings

import torch
from torch import Tensor, nn

from tpf_model.cpu import adds_8_bit_products
from tpf_model.network import TPFNetwork, count_parameters
from tpf_model.runtime.onnx_attention import use_runtime_attention
from tpf_model.runtime.onnx_file import INPUTS, OUTPUTS, PRECISIONS, Description, pack_fusion, seal
from tpf_model.runtime.onnx_int8 import even_out, quantise_products

_OPSET = 17  # has LayerNormalization, and both ONNX Runtime 1.16 and TensorRT 10 take it


class _EncoderAndHead(nn.Module):
    def __init__(self, network: TPFNetwork, dtype: torch.dtype):
        super().__init__()
        self.network, self.dtype = network, dtype

    def forward(self, *crops: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        maps = self.network(*(crop.to(self.dtype) for crop in crops))
        return maps.score, maps.size, maps.offset.float()


def export_onnx(network: TPFNetwork, provenance: dict, precision: str = "float32", portable: bool = True) -> bytes:
    """The bytes of the ONNX file of `network`, which is on the CPU and stays as it is.

    Inputs are three fused crops, template and dynamic (1, 3, T, T) and search (1, 3, S, S) in [0, 1]; outputs score
    (1, 1, G, G), size and offset (1, 2, G, G), see `head.py`; all float32, whatever is between them. precision: of
    `onnx_file.PRECISIONS`; "int8" is that of `quantise_products`, the head stays in float32. portable: for any runtime
    and CPU; if not, for ONNX Runtime on this CPU: faster, from its version 1.19 on, and in 8 bits nearer the network.

    ValueError for another precision, or where the package onnx is missing or PyTorch too old.
    """
    if precision not in PRECISIONS:
        raise ValueError(f"an ONNX file cannot have precision {precision!r}; known: {', '.join(PRECISIONS)}")
    if torch.__version__ < (2, 5):  # before, its exporter did not know the attention's scale as a number
        raise ValueError(f"export needs PyTorch 2.5 or newer, this is {torch.__version__}: pip install -U torch")
    onnx = _import_onnx()
    traced, dtype = copy.deepcopy(network), torch.float32
    if precision == "float16":
        traced, dtype = traced.half(), torch.float16
    elif precision == "int8":
        even_out(traced.encoder)
        for block in traced.encoder.blocks:
            block.attn.fold(block.norm1)  # that the scale is none saves two passes over the tokens
    if not portable:
        use_runtime_attention(traced.encoder)
    model = onnx.load_from_string(_trace(traced, dtype))
    if precision == "int8":
        quantise_products(model, weight_bits=7 if portable or not adds_8_bit_products() else 8)
    model.producer_name = "tpf_model"
    fusion = pack_fusion(network.fusion)
    description = Description(network.config, provenance, count_parameters(network), precision, fusion)
    onnx.helper.set_model_props(model, description.to_metadata())
    return seal(model.SerializeToString())


def _import_onnx():
    try:
        import onnx
        import onnx.helper
    except ImportError as error:
        raise ValueError(f"export needs the package onnx ({error}): pip install onnx") from error
    return onnx


def _trace(network: TPFNetwork, dtype: torch.dtype) -> bytes:
    config, file = network.config, io.BytesIO()
    crops = tuple(torch.zeros(1, 3, side, side) for side in (config.template_size,) * 2 + (config.search_size,))
    with warnings.catch_warnings(), torch.no_grad():
        # That shapes become constants is what we want; and that this exporter is the older one we know: the newer
        # takes five times as long, needs onnxscript, and its files another opset.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            _EncoderAndHead(network, dtype).eval(),
            crops,
            file,
            opset_version=_OPSET,
            input_names=INPUTS,
            output_names=OUTPUTS,
            dynamo=False,
        )
    return file.getvalue()
