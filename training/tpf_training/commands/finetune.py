"""Fine-tune a tracker on the task; the configuration says whether with decoupled representations (DRF), a teacher."""

import argparse

from tpf_model.network import TPFNetwork
from tpf_model.weights import save_network
from tpf_training.commands.arguments import add_arguments, overrides
from tpf_training.config import load_config
from tpf_training.config.finetune import FinetuneConfig
from tpf_training.drf.decoupling import Decoupling
from tpf_training.engine.draws import make_loader
from tpf_training.engine.fit import fit, prepare_run
from tpf_training.phases.finetune import FinetuneModule
from tpf_training.provenance import describe, origin
from tpf_training.sampling import build_mixture, collate, default_cache
from tpf_training.start import start_network, weights_file
from tpf_training.teacher import Teacher

__all__ = ["add_arguments", "finetune", "run"]


def run(args: argparse.Namespace) -> None:
    finetune(load_config(FinetuneConfig, args.config, overrides(args)), args.resume)


def finetune(config: FinetuneConfig, resume: bool = False) -> None:
    """Run the whole phase. `run.folder` then holds weights.safetensors, checkpoints, the configuration and logs."""
    checkpoint = prepare_run(config, resume)
    data = config.data
    mixture = build_mixture(
        data.root,
        data.sources or None,
        data.cache or default_cache(),
        config.run.seed,
        data.skip_damaged,
        data.augmentation,
        data.sampling,
    )
    network, origins = start_network(config)
    teacher = None
    if config.teacher:
        path = weights_file(config.teacher.network)
        teacher = Teacher(path, network)
        origins["teacher"] = origin(path)
    module = FinetuneModule(config, network, make_decoupling(config, network), teacher)

    stated = {name: source.licence for name, source in data.sources.items() if source.licence}

    def write_weights(learner, step: int, devices: int) -> None:
        provenance = describe("finetune", config, step, devices, mixture.shares, origins, stated)
        save_network(learner, config.run.folder / "weights.safetensors", provenance)

    fit(module, make_loader(mixture, collate, config.run), config, write_weights, checkpoint)


def make_decoupling(config: FinetuneConfig, network: TPFNetwork) -> Decoupling | None:
    """DRF's auxiliary branches, whose encoders start as the network's; None where DRF is off."""
    drf = config.drf
    if not drf.enabled:
        return None
    decoupling = Decoupling(
        network.config,
        repulsion=drf.repulsion,
        reconstruction=drf.reconstruction,
        visible=drf.visible,
        thermal=drf.thermal,
        margin=drf.margin,
        frozen_blocks=config.frozen_blocks,
        decoder_width=drf.decoder_width,
        decoder_depth=drf.decoder_depth,
    )
    decoupling.start_from(network.encoder)
    return decoupling
