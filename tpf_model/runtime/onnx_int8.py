"""Dynamic 8-bit quantisation of the encoder's matrix products.

What ONNX Runtime's `quantize_dynamic` makes of them (per channel), in a tenth of its time and without files: a session
can then be opened from ordinary weights. It is more accurate where `even_out` has been before it.
"""

import numpy as np
import torch
from torch import nn

from tpf_model.backbone import VisionTransformer

# By a weight's bits: CPUs without VNNI add two products in 16 bits, which 255 * 64 * 2 just fits.
_LARGEST = {7: 64, 8: 127}


@torch.no_grad()
def even_out(encoder: VisionTransformer) -> None:
    """Make the layers' inputs alike in range over their channels, in place; the encoder computes what it did.

    A layer's input is quantised with one scale, and a few channels are ten times as large as the rest. After Xiao et
    al., "SmoothQuant", 2023 (strength 0.5): each channel is divided by a factor that the weights behind it are
    multiplied with. A norm's gain and bias say how large its channels become, so no images are needed.
    """
    for block in encoder.blocks:
        for norm, layer in ((block.norm1, block.attn.qkv), (block.norm2, block.mlp.fc1)):
            _even_out(norm, layer)


def _even_out(norm: nn.LayerNorm, layer: nn.Linear) -> None:
    inputs = 3 * norm.weight.abs() + norm.bias.abs()  # three standard deviations
    factor = (inputs.clamp_min(1e-5) / layer.weight.abs().amax(0).clamp_min(1e-5)).sqrt()
    norm.weight /= factor
    norm.bias /= factor
    layer.weight *= factor


def quantise_products(model, weight_bits: int) -> None:
    """Change `model` (an onnx.ModelProto) in place: products by constant matrices are computed in 8 bits.

    The constant is int8, symmetric, with a scale for each column; weight_bits: 7, for any CPU, or 8. The other factor
    becomes uint8 with a scale and a zero point of its present values. Products of two activations (attention) and
    convolutions stay as they are.
    """
    from onnx import helper, numpy_helper

    graph = model.graph
    constants = {tensor.name: tensor for tensor in graph.initializer}
    nodes, done, quantised = [], {}, set()
    for node in graph.node:
        if node.op_type != "MatMul" or node.input[1] not in constants:
            nodes.append(node)
            continue
        x, weight = node.input
        if x not in done:
            done[x] = [f"{x}_uint8", f"{x}_scale", f"{x}_zero"]
            nodes.append(helper.make_node("DynamicQuantizeLinear", [x], done[x]))
        if weight not in quantised:
            quantised.add(weight)
            values, scale = _quantise(numpy_helper.to_array(constants[weight]), _LARGEST[weight_bits])
            graph.initializer.append(numpy_helper.from_array(values, f"{weight}_int8"))
            graph.initializer.append(numpy_helper.from_array(scale, f"{weight}_scale"))
        name, (x_values, x_scale, x_zero) = node.output[0], done[x]
        nodes += [
            helper.make_node("Mul", [x_scale, f"{weight}_scale"], [f"{name}_scale"]),
            helper.make_node("MatMulInteger", [x_values, f"{weight}_int8", x_zero], [f"{name}_int32"]),
            helper.make_node("Cast", [f"{name}_int32"], [f"{name}_float"], to=1),
            helper.make_node("Mul", [f"{name}_float", f"{name}_scale"], [name]),
        ]
    for weight in quantised:
        graph.initializer.remove(constants[weight])
    del graph.node[:]
    graph.node.extend(nodes)


def _quantise(weight: np.ndarray, largest: int) -> tuple[np.ndarray, np.ndarray]:
    """(K, N) -> the same as int8, and the scale of each column (N,)."""
    scale = np.maximum(np.abs(weight).max(0), np.finfo(np.float32).tiny) / largest
    return np.round(weight / scale).astype(np.int8), scale.astype(np.float32)
