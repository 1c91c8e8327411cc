"""A fusion adapter's weights alone: what `tpf-train distill` makes and `tpf-train finetune` starts from."""

import json
from pathlib import Path

from safetensors.torch import save
from torch import nn

from tpf_model.network import TPFNetwork
from tpf_model.weights import WeightsError
from tpf_training.checkpoint_tensors import read_tensors
from tpf_training.whole_file import whole_file

PREFIX = "fusion."  # named as in a whole network's file, which can be read alike


def save_fusion(adapter: nn.Module, path: Path, provenance: dict) -> None:
    """Write the weights of `adapter` in float32 (they are small) with their provenance in the metadata."""
    tensors = {PREFIX + name: tensor.contiguous() for name, tensor in adapter.state_dict().items()}
    with whole_file(path) as part:
        part.write_bytes(save(tensors, {"provenance": json.dumps(provenance)}))  # save_file's is for its owner only


def load_fusion(network: TPFNetwork, path: Path) -> None:
    """Load the adapter of `network` out of `path`: a file of `save_fusion`, or a whole network's.

    WeightsError for a file that is missing, damaged or of another adapter, and for a network that has none.
    """
    if network.config.fusion != "pfa":
        raise WeightsError(f"{path}: the network's fusion is {network.config.fusion!r}, which has no weights to load")
    tensors = {name: tensor for name, tensor in read_tensors(path)[0].items() if name.startswith(PREFIX)}
    try:
        network.fusion.load_state_dict({name.removeprefix(PREFIX): tensor for name, tensor in tensors.items()})
    except RuntimeError as error:
        name = network.config.name
        raise WeightsError(f"weights file {path} holds no fusion adapter that fits model {name!r}: {error}") from error
