"""`tpf-eval speed`: what a frame costs by each model and runtime, side by side."""

import argparse
import json
from itertools import product
from pathlib import Path

from tpf_model.runtime import RUNTIMES
from tpf_model.timing.machine import describe_machine
from tpf_training.evaluation.arguments import add_models, check_folders, check_unique, named_models
from tpf_training.evaluation.clips import read_paired
from tpf_training.evaluation.one_pass import EvaluationError
from tpf_training.evaluation.speed_measure import Entrant, Frames, measure_all
from tpf_training.evaluation.speed_report import document
from tpf_training.evaluation.table import as_markdown, as_text
from tpf_training.evaluation.tracker_options import whole_number


def add_arguments(parser: argparse.ArgumentParser) -> None:
    entrants = parser.add_argument_group("what is measured: every combination")
    add_models(entrants)
    entrants.add_argument(
        "--runtime", action="append", choices=RUNTIMES, help=f"repeatable (default: {RUNTIMES[0]})", metavar="RUNTIME"
    )
    entrants.add_argument(
        "--precision", action="append", metavar="PRECISION", help="auto, float32, ...; repeatable (default: auto)"
    )
    entrants.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N (default: %(default)s)")
    entrants.add_argument("--threads", type=whole_number(1), default=1, help="on the CPU (default: %(default)s)")
    frames = parser.add_argument_group("frames")
    frames.add_argument(
        "--clip", type=Path, metavar="DIR", help="clip with visible.mp4, thermal.mp4 and <target>.csv (default: noise)"
    )
    frames.add_argument(
        "--frames", type=whole_number(2), default=100, metavar="N", help="at most (default: %(default)s)"
    )
    results = parser.add_argument_group("results")
    results.add_argument("--json", type=Path, metavar="FILE", help="write all numbers there")
    results.add_argument("--markdown", type=Path, metavar="FILE", help="write the tables there")


def run(args: argparse.Namespace) -> int:
    """0: all combinations were measured. 1: some cannot run here, and are listed with the reason."""
    check_folders(args.json, args.markdown)
    frames = Frames.of_clip(read_paired(args.clip)[0], args.frames) if args.clip else Frames.of_noise(args.frames)
    measured, refused = measure_all(_entrants(args), frames, args.device, args.threads)
    report = {
        "machine": describe_machine(),
        "threads": args.threads,
        "frames": {"source": frames.source, "count": frames.count},
        "entrants": measured,
        "not measured": refused,
    }
    print(document(report, as_text))
    if args.json:
        args.json.write_text(json.dumps(report, indent=1) + "\n")
    if args.markdown:
        args.markdown.write_text(document(report, as_markdown) + "\n")
    return 1 if refused else 0


def _entrants(args: argparse.Namespace) -> list[Entrant]:
    models = named_models(args)
    if not models:
        raise EvaluationError("nothing to measure: give --model or --weights")
    ways = product(args.runtime or RUNTIMES[:1], args.precision or ["auto"])
    entrants = [Entrant(model, runtime, precision) for runtime, precision in ways for model in models]
    check_unique([entrant.name for entrant in entrants], "entrants")
    return entrants
