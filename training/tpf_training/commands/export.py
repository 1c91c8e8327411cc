"""Write the averaged weights of a run as the one file that a tracker loads, and a model card beside it."""

import argparse
import json
from pathlib import Path

from tpf_model.network import count_parameters
from tpf_model.weights import load_network, save_network
from tpf_training.model_card import model_card


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("weights", type=Path, help="weights.safetensors in a finetune run's folder")
    parser.add_argument("--out", type=Path, required=True, help="the file to write, *.safetensors; its card is *.md")
    parser.add_argument("--scores", type=Path, help="what `tpf-eval compare --json` wrote, to be kept with the weights")


def run(args: argparse.Namespace) -> None:
    if args.out.suffix != ".safetensors":
        raise SystemExit(f"tpf-train export: --out {args.out} must end in .safetensors")
    network, provenance = load_network(weights=args.weights)
    if args.scores:
        try:
            provenance = provenance | {"scores": json.loads(args.scores.read_text())}
        except (OSError, ValueError) as error:
            raise SystemExit(f"tpf-train export: --scores {args.scores} cannot be read: {error}") from error
    save_network(network, args.out, provenance)
    card = args.out.with_suffix(".md")
    card.write_text(model_card(network.config, count_parameters(network), args.out.stat().st_size, provenance))
    print(f"{args.out}: {args.out.stat().st_size / 1e6:.1f} MB; {card}")
