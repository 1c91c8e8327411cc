"""A fine-tuning run's checkpoint: the network as it was while training, with the auxiliary branches of DRF."""

import dataclasses
from pathlib import Path

from torch import nn

from tpf_model.config import load_variant
from tpf_model.network import TPFNetwork
from tpf_model.weights import WeightsError
from tpf_training.checkpoint_tensors import read_tensors
from tpf_training.commands.finetune import make_decoupling
from tpf_training.config import ConfigError, load_config
from tpf_training.config.finetune import FinetuneConfig
from tpf_training.drf.decoupling import Decoupling
from tpf_training.engine.fit import CHECKPOINT, RECORD
from tpf_training.evaluation.one_pass import EvaluationError


def load_checkpoint(path: Path) -> tuple[TPFNetwork, Decoupling | None]:
    """In eval mode on the CPU; None where the run had no DRF.

    path: `<run>/checkpoints/last.ckpt`, whose run's config.yaml says what is in it. The network's weights are those of
    the last step, to which the branches belong, not their moving average, which is what a run exports.
    EvaluationError names the file that is missing, damaged or of another phase.
    """
    record = path.absolute().parent.parent / RECORD
    if not record.is_file():
        raise EvaluationError(f"{path}: there is no {record}: expected <run>/{CHECKPOINT} of tpf-train finetune")
    try:
        config = load_config(FinetuneConfig, record)
        tensors, _ = read_tensors(path)
    except (ConfigError, WeightsError) as error:
        raise EvaluationError(f"{path}: is no readable run of tpf-train finetune: {error}") from error
    network = TPFNetwork(dataclasses.replace(load_variant(config.model), fusion=config.fusion))
    decoupling = make_decoupling(config, network)
    _load(network, "learner.", tensors, path)
    if decoupling is not None:
        _load(decoupling, "decoupling.", tensors, path)
        decoupling.eval()
    return network.eval(), decoupling


def _load(part: nn.Module, prefix: str, tensors: dict, path: Path) -> None:
    own = {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
    try:
        part.load_state_dict(own)
    except RuntimeError as error:
        raise EvaluationError(f"{path}: does not fit the run's {RECORD}: {error}") from error
