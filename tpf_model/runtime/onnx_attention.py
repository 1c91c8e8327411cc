"""Attention as ONNX Runtime's own operator for it, which is no standard one.

It takes the heads as they lie beside each other and keeps the softmax's sums, where standard operators rearrange and
write all of it: a tenth of tiny's time.
"""

import torch
from torch import Tensor, nn

from tpf_model.backbone import Attention, VisionTransformer, attend


class RuntimeAttention(nn.Module):
    """The same function as an `Attention`, to be exported."""

    def __init__(self, attention: Attention):
        super().__init__()
        self.attention = attention

    def forward(self, x: Tensor, keep: int = 0) -> Tensor:
        query, key, value = self.attention.qkv(x).chunk(3, dim=-1)
        out = _MultiHeadAttention.apply(query[:, -keep:], key, value, self.attention.heads, self.attention.scale)
        return self.attention.proj(out)


def use_runtime_attention(encoder: VisionTransformer) -> None:
    """Replace the encoder's attention, in place."""
    for block in encoder.blocks:
        block.attn = RuntimeAttention(block.attn)


class _MultiHeadAttention(torch.autograd.Function):
    @staticmethod
    def forward(_, query: Tensor, key: Tensor, value: Tensor, heads: int, scale: float) -> Tensor:
        apart = (x.unflatten(2, (heads, -1)).transpose(1, 2) for x in (query, key, value))
        return attend(*apart, scale).transpose(1, 2).flatten(2)

    @staticmethod
    def symbolic(graph, query, key, value, heads: int, scale: float):
        out = graph.op("com.microsoft::MultiHeadAttention", query, key, value, num_heads_i=heads, scale_f=scale)
        return out.setType(query.type())
