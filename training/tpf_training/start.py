"""The network that a fine-tuning run starts from, and what is recorded of where it comes from."""

import dataclasses
from pathlib import Path

import torch

from tpf_model.config import load_variant, variant_names
from tpf_model.network import TPFNetwork
from tpf_model.weights import WeightsError, load_network, shipped_weights
from tpf_training.config.finetune import FinetuneConfig
from tpf_training.fusion_weights import load_fusion
from tpf_training.initial_weights import load_initial_weights
from tpf_training.provenance import origin
from tpf_training.weight_selection import select_weights


def start_network(config: FinetuneConfig) -> tuple[TPFNetwork, dict]:
    """The network before its first step, and its origins for the provenance. Random parts follow `config.run.seed`.

    WeightsError names the file that does not fit.
    """
    start, origins = config.start, {}
    torch.manual_seed(config.run.seed)
    network = TPFNetwork(dataclasses.replace(load_variant(config.model), fusion=config.fusion))
    if start.network is not None:
        path = weights_file(start.network)
        load_whole(network, path)
        origins["weights"] = origin(path)
    elif start.larger is not None:
        path = weights_file(start.larger)
        larger, _ = load_network(weights=path)
        try:
            select_weights(network, larger)
        except ValueError as error:
            raise WeightsError(f"start.larger: {path}: {error}") from error
        origins["selected from"] = origin(path)
    elif start.pretrained is not None:
        print(load_initial_weights(network, start.pretrained))
        origins["pretrained"] = origin(start.pretrained)
    if start.fusion is not None:
        load_fusion(network, start.fusion)
        origins["fusion"] = origin(start.fusion)
    return network, origins or {"weights": "random"}


def weights_file(name: str) -> Path:
    """The weights file that `name` is, or that ships for the model of that name; WeightsError where there is none."""
    path = shipped_weights(name) if name in variant_names() else Path(name)
    if not path.is_file():
        raise WeightsError(f"weights {name!r}: no such file, and no model whose weights ship has that name")
    return path


def load_whole(network: TPFNetwork, path: Path) -> None:
    """Load a network of the same model; the adapter keeps its own weights where either has none."""
    source, _ = load_network(weights=path)
    if dataclasses.replace(source.config, fusion=network.config.fusion) != network.config:
        raise WeightsError(f"weights file {path} is of model {source.config.name!r}, not {network.config.name!r}")
    network.encoder.load_state_dict(source.encoder.state_dict())
    network.head.load_state_dict(source.head.state_dict())
    if source.config.fusion == network.config.fusion:
        network.fusion.load_state_dict(source.fusion.state_dict())
