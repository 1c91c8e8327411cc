"""`tpf info`: what a model consists of, how it would run here, and where its weights come from."""

import argparse
import json
from pathlib import Path

from tpf_model.config import AUTO, ModelConfig, variant_names
from tpf_ros.command_error import CommandError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--model", default=AUTO, help=f"one of: {', '.join(variant_names())}; see the node's parameter (default: auto)"
    )
    parser.add_argument("--weights", help="weights file instead of the one that ships, or 'random' for none")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N (default: auto)")
    parser.add_argument("--runtime", default="auto", help="auto, eager, cuda_graph or onnx (default: auto)")
    parser.add_argument("--precision", default="auto", help="see the node's parameter `precision` (default: auto)")
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(args: argparse.Namespace) -> int:
    try:
        description = describe(args.model, args.weights, args.device, args.runtime, args.precision)
    except ValueError as error:
        raise CommandError(str(error)) from error
    print(json.dumps(description, indent=2) if args.json else _as_text(description))
    return 0


def describe(
    model: str = AUTO,
    weights: str | Path | None = None,
    device: str = "auto",
    runtime: str = "auto",
    precision: str = "auto",
) -> dict:
    """Everything that `tpf info` prints. ValueError for what `open_session` refuses.

    A model without shipped weights is described all the same, from a random network; its `weights` say "none shipped".
    """
    from tpf_model.runtime import open_session
    from tpf_model.weights import RANDOM, shipped_weights

    shipped = weights is None and (model == AUTO or shipped_weights(model).is_file())
    session = open_session(model, device, runtime, weights or (None if shipped else RANDOM), precision=precision)
    info = session.info
    return {
        "model": info.model,
        "parameters": info.parameters,
        "tokens": _tokens(session.config),
        "sizes": {key: value for key, value in session.config.to_dict().items() if key != "name"},
        "runtime": info.runtime,
        "scan": info.scan,
        "precision": info.precision,
        "device": info.device,
        "weights": info.weights if weights or shipped else {"source": "none shipped"},
    }


def _tokens(config: ModelConfig) -> dict[str, int]:
    template, search = config.template_tokens, config.search_tokens
    return {"template": template, "dynamic": template, "search": search, "total": 2 * template + search}


def _as_text(description: dict) -> str:
    """One `name: value` a line, nested names joined by dots, values aligned.

    Of the runs that the weights descend from only the last is shown: each tells as much again as the one after it.
    How that one was set up, and each target's scores, are left to JSON.
    """
    left_out = (".provenance.", "weights.settings.", ".targets.")
    lines = [(name, value) for name, value in _flatten("", description) if not any(part in name for part in left_out)]
    width = max(len(name) for name, _ in lines) + 2
    return "\n".join(f"{name + ':':<{width}}{value}" for name, value in lines)


def _flatten(prefix: str, values: dict):
    for key, value in values.items():
        if isinstance(value, dict):
            yield from _flatten(f"{prefix}{key}.", value)
        elif isinstance(value, int) and prefix == "parameters.":
            yield prefix + key, f"{value:,}"
        else:
            yield prefix + key, value
