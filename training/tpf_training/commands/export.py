"""Write the weights of a run, or the mean of several, as the one file that a tracker loads, and a model card."""

import argparse
import json
from pathlib import Path

from tpf_model.network import count_parameters
from tpf_model.weights import load_network, save_network
from tpf_training.model_card import model_card
from tpf_training.weight_mean import mean_network


def add_arguments(parser: argparse.ArgumentParser) -> None:
    weights = "weights.safetensors in a finetune run's folder; of several, which should have one start, the mean"
    parser.add_argument("weights", type=Path, nargs="+", help=weights)
    parser.add_argument("--out", type=Path, required=True, help="the file to write, *.safetensors; its card is *.md")
    parser.add_argument("--scores", type=Path, help="what `tpf-eval compare --json` wrote, to be kept with the weights")


def run(args: argparse.Namespace) -> None:
    if args.out.suffix != ".safetensors":
        raise SystemExit(f"tpf-train export: --out {args.out} must end in .safetensors")
    several = len(args.weights) > 1
    network, provenance = mean_network(args.weights) if several else load_network(weights=args.weights[0])
    if args.scores:
        try:
            provenance = provenance | {"scores": json.loads(args.scores.read_text())}
        except (OSError, ValueError) as error:
            raise SystemExit(f"tpf-train export: --scores {args.scores} cannot be read: {error}") from error
    save_network(network, args.out, provenance)
    card = args.out.with_suffix(".md")
    card.write_text(model_card(network.config, count_parameters(network), args.out.stat().st_size, provenance))
    print(f"{args.out}: {args.out.stat().st_size / 1e6:.1f} MB; {card}")
