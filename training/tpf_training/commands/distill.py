"""Distil the fusion adapter from several fusion networks (MAD): the first phase."""

import argparse

import torch

from tpf_model.config import load_variant
from tpf_model.network import TPFNetwork
from tpf_model.weights import load_network
from tpf_training.commands.arguments import add_arguments, overrides
from tpf_training.config import ConfigError, load_config
from tpf_training.config.distill import RGBT_PAIRS, DistillConfig, PairsConfig
from tpf_training.datasets.expert_pairs import own_experts, read_expert_pairs
from tpf_training.datasets.rgbt_pairs import PairFiles, find_pairs
from tpf_training.engine.draws import make_loader
from tpf_training.engine.fit import fit, prepare_run
from tpf_training.fusion_weights import load_fusion, save_fusion
from tpf_training.mad.run_ahead import expert_folders
from tpf_training.mad.sample import MADSource, collate_mad
from tpf_training.mad.sequence_pairs import sequence_pairs
from tpf_training.mad.weighting import ADAPTIVE, ExpertWeighting
from tpf_training.phases.distill import DistillModule
from tpf_training.provenance import describe, origin
from tpf_training.sampling import default_cache
from tpf_training.start import weights_file

__all__ = ["add_arguments", "distill", "run"]


def run(args: argparse.Namespace) -> None:
    distill(load_config(DistillConfig, args.config, overrides(args)), args.resume)


def distill(config: DistillConfig, resume: bool = False) -> None:
    """Run the whole phase. `run.folder` then holds fusion.safetensors, checkpoints, the configuration and logs."""
    checkpoint = prepare_run(config, resume)
    files = _find_pairs(config.pairs)
    pairs = read_expert_pairs(files, _expert_folders(config, files))
    source = MADSource(pairs, config.pairs.sampling, config.pairs.augmentation)
    torch.manual_seed(config.run.seed)
    network, origins = TPFNetwork(load_variant(config.model)), {}
    if config.start is not None:
        load_fusion(network, config.start)
        origins["fusion"] = origin(config.start)
    tracker = None
    if config.weighting == ADAPTIVE:
        path = weights_file(config.auxiliary)
        tracker, _ = load_network(weights=path)
        origins["auxiliary tracker"] = origin(path)
    try:
        weighting = ExpertWeighting(source.experts, config.weighting, tracker, config.temperature)
    except ValueError as error:  # which experts there are is known only now
        raise ConfigError(str(error)) from error
    shares = {config.pairs.source: 1.0}

    def write_weights(learner, step: int, devices: int) -> None:
        provenance = describe("distill", config, step, devices, shares, origins, {}) | {"experts": source.experts}
        save_fusion(learner, config.run.folder / "fusion.safetensors", provenance)

    module = DistillModule(config, network.fusion, weighting)
    fit(module, make_loader(source, collate_mad, config.run), config, write_weights, checkpoint)


def _find_pairs(config: PairsConfig) -> list[PairFiles]:
    if config.source == RGBT_PAIRS:
        return find_pairs(config.root)
    cache = config.cache or default_cache()
    return sequence_pairs(config.source, config.root, config.split, config.every, cache)


def _expert_folders(config: DistillConfig, pairs: list[PairFiles]) -> dict:
    if not config.experts:
        return own_experts(config.pairs.root)
    device = config.experts_device
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    elif device == "cuda" and not torch.cuda.is_available():
        raise ConfigError("experts_device is cuda, but PyTorch finds no CUDA GPU; accepted here: auto, cpu")
    cache = (config.pairs.cache or default_cache()) / "experts"
    return expert_folders(config.experts, pairs, cache, device)
