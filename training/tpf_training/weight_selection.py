"""Start a small network from a larger one of the same family, by keeping some of its weights.

After Xu et al., "Initializing Models with Larger Ones" (ICLR 2024): evenly spaced elements of each dimension. Layers
are evenly spaced, too, so that the last one stays the last one, and attention heads are kept whole.
"""

import torch
from torch import Tensor

from tpf_model.network import TPFNetwork


def select_weights(small: TPFNetwork, large: TPFNetwork) -> None:
    """Fill `small` with a selection of the weights of `large`; the fusion adapter is taken as it is.

    ValueError where `small` is larger in some dimension, the heads are not equally wide, or the adapters differ.
    """
    ours, theirs = small.config, large.config
    if ours.width // ours.heads != theirs.width // theirs.heads:
        raise ValueError(f"models {ours.name} and {theirs.name} have attention heads of unequal width")
    if ours.fusion != theirs.fusion or ours.token_stride != theirs.token_stride:
        raise ValueError(f"models {ours.name} and {theirs.name} have different fusion adapters")
    blocks = evenly(ours.depth, theirs.depth).tolist()
    state, chosen = large.state_dict(), {}
    for name, tensor in small.state_dict().items():
        source = state[_block_name(name, blocks)]
        for dimension, size in enumerate(tensor.shape):
            kept = _indices(name, dimension, size, source.shape[dimension], small, large)
            source = source.index_select(dimension, kept)
        chosen[name] = source
    small.load_state_dict(chosen)


def evenly(count: int, total: int) -> Tensor:
    """`count` of the indices 0 .. total - 1, evenly spaced, the last one among them; ValueError for too few."""
    if count > total:
        raise ValueError(f"cannot select {count} of {total}")
    return torch.arange(1, count + 1) * total // count - 1


def _block_name(name: str, blocks: list[int]) -> str:
    parts = name.split(".")
    if parts[:2] == ["encoder", "blocks"]:
        parts[2] = str(blocks[int(parts[2])])
    return ".".join(parts)


def _indices(name: str, dimension: int, size: int, total: int, small: TPFNetwork, large: TPFNetwork) -> Tensor:
    """Which of `total` elements of a dimension are kept; queries, keys and values by whole heads."""
    in_heads = (".attn.qkv." in name and dimension == 0) or (name.endswith(".attn.proj.weight") and dimension == 1)
    if not in_heads:
        return evenly(size, total)
    width = large.config.width
    per_head = width // large.config.heads
    heads = evenly(small.config.heads, large.config.heads)
    of_one = (heads[:, None] * per_head + torch.arange(per_head)).flatten()
    return torch.cat([of_one + start for start in range(0, total, width)])
