"""Weights on disk: one safetensors file with the model's configuration and the weights' provenance in its metadata."""

import json
from importlib import resources
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from tpf_model.config import AUTO, ModelConfig, default_model, load_variant
from tpf_model.network import TPFNetwork

RANDOM = "random"


class WeightsError(ValueError):
    """A weights file that is missing, damaged, or of another model; the message names the file."""


def shipped_weights(model: str) -> Path:
    """Where the weights of `model` ship, whether or not they do."""
    return Path(str(resources.files("tpf_model"))) / "checkpoints" / f"{model}.safetensors"


def save_network(network: TPFNetwork, path: Path | str, provenance: dict) -> None:
    """Write `network` in float16 (half the file; activations, not weights, need the range) with its provenance.

    `provenance` is any JSON-able dict: training data, steps, licence notes, scores.
    """
    state = network.state_dict()
    tensors = {name: state[name].half().contiguous() for name in _stored_names(network)}
    metadata = {"config": json.dumps(network.config.to_dict()), "provenance": json.dumps(provenance)}
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    partial.write_bytes(save(tensors, metadata))  # save_file would make a file that only its owner can read
    partial.replace(path)


def load_network(
    model: str = AUTO, weights: Path | str | None = None, scan: str = "auto", device: str = "cpu"
) -> tuple[TPFNetwork, dict]:
    """Build the variant `model` in float32 on the CPU, in eval mode, and return it with its weights' provenance.

    model: "auto" for whatever network the file `weights` holds, which need not be one of the variants, and without a
    file for the `default_model` of `device`, on which it is to run. weights: a safetensors file, None for the file
    that ships with the model, or "random" for an untrained network with a fixed seed. Raises ValueError for an unknown
    model, WeightsError for a file that is missing, damaged or does not fit the model.
    """
    if model == AUTO and (not weights or weights == RANDOM):
        model = default_model(device)
    config = None if model == AUTO else load_variant(model)
    if weights == RANDOM:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            return TPFNetwork(config, scan).eval(), {"source": "random, untrained"}
    path = Path(weights) if weights else shipped_weights(model)
    if not path.is_file():
        hint = "" if weights else f": no weights ship for model {model!r}; name a file, or '{RANDOM}' for an untrained one"
        raise WeightsError(f"weights file {path} does not exist{hint}")
    tensors, stored, provenance = _read(path)
    if config:
        check_model(stored, config, f"weights file {path}")
    network = TPFNetwork(stored, scan)
    broken = sorted(name for name, tensor in tensors.items() if not tensor.isfinite().all())
    if broken:
        raise WeightsError(f"weights file {path} is damaged: not a number, or infinite, in {', '.join(broken[:5])}")
    missing = set(_stored_names(network)) ^ set(tensors)
    if missing:
        raise WeightsError(f"weights file {path} lacks, or has too many, tensors: {', '.join(sorted(missing)[:5])}")
    try:
        network.load_state_dict(tensors, strict=False)
    except RuntimeError as error:
        raise WeightsError(f"weights file {path} does not fit model {stored.name!r}: {error}") from error
    return network.eval(), provenance


def _stored_names(network: TPFNetwork) -> list[str]:
    # Batch norm's step counter only matters to a momentum that we do not use.
    return [name for name in network.state_dict() if not name.endswith("num_batches_tracked")]


def _read(path: Path) -> tuple[dict, ModelConfig, dict]:
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name).float() for name in file.keys()}
    except (SafetensorError, OSError) as error:
        raise WeightsError(f"weights file {path} is not a readable safetensors file: {error}") from error
    if "config" not in metadata or "provenance" not in metadata:
        raise WeightsError(f"weights file {path} has no 'config' and 'provenance' in its metadata: not saved by TPF")
    try:
        config = ModelConfig.from_dict(json.loads(metadata["config"]))
        return tensors, config, json.loads(metadata["provenance"])
    except (ValueError, TypeError, ArithmeticError) as error:
        raise WeightsError(f"weights file {path}: bad metadata: {error}") from error


def check_model(stored: ModelConfig, wanted: ModelConfig, file: str) -> None:
    """WeightsError that names `file`, which holds the model `stored`, where that is not `wanted`."""
    ours, theirs = wanted.to_dict(), stored.to_dict()
    different = [f"{key}={theirs[key]} (model {wanted.name!r} has {ours[key]})" for key in ours if ours[key] != theirs[key]]
    if different:
        raise WeightsError(f"{file} holds another model: {', '.join(different)}")

