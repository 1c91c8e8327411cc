"""`tpf-eval gap`: the MMD between what an encoder makes of visible and of thermal images, layer by layer."""

import argparse
import dataclasses
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from tqdm import tqdm

from tpf_training.datasets.record import DatasetError
from tpf_training.evaluation.arguments import add_files, add_models, check_folders, check_unique, named_models
from tpf_training.evaluation.clips import VideoSequence, read_paired
from tpf_training.evaluation.gap_layers import layer_features, layer_gaps
from tpf_training.evaluation.gap_plot import FORMATS, draw_gaps
from tpf_training.evaluation.gap_report import as_document, write_csv
from tpf_training.evaluation.one_pass import EvaluationError
from tpf_training.evaluation.pair_folder import PairFolder, find_pairs
from tpf_training.evaluation.show_report import INCOMPLETE, show_report
from tpf_training.evaluation.tracker_options import whole_number
from tpf_training.evaluation.views import View, clip_views, open_network, still_view

FEWEST = 8  # pairs: fewer can change places in too few ways to say what is noise


def add_arguments(parser: argparse.ArgumentParser) -> None:
    images = parser.add_argument_group("images")
    images.add_argument(
        "--pairs",
        type=Path,
        metavar="FOLDER",
        help="<set>/{visible,thermal}/<name> or {visible,thermal}/<name>: the largest square of each",
    )
    images.add_argument(
        "--clips",
        type=Path,
        action="append",
        default=[],
        help="clip folder with visible.mp4, thermal.mp4 and <target>.csv, or a folder of such: the search crop of "
        "frames evenly spaced in time; repeatable",
    )
    images.add_argument(
        "--samples",
        type=whole_number(FEWEST),
        metavar="N",
        default=256,
        help="at most so many pairs (default: %(default)s)",
    )
    models = parser.add_argument_group("models")
    add_models(models)
    estimate = parser.add_argument_group("estimate")
    estimate.add_argument("--tokens", type=whole_number(1), default=16, help="of each pair (default: %(default)s)")
    estimate.add_argument("--permutations", type=whole_number(100), default=2000, help="(default: %(default)s)")
    estimate.add_argument("--seed", type=whole_number(0), default=0, help="(default: %(default)s)")
    writing = parser.add_argument_group("writing")
    add_files(writing)
    writing.add_argument("--plot", type=Path, metavar="FILE", help=f"draw the gaps there: {', '.join(FORMATS)}")


def run(args: argparse.Namespace) -> int:
    check_folders(args.json, args.csv, args.markdown, args.plot)
    if args.plot and args.plot.suffix not in FORMATS:
        raise EvaluationError(f"{args.plot}: can be {' or '.join(FORMATS)}, not {args.plot.suffix or 'without suffix'}")
    if (args.pairs is None) == (not args.clips):
        raise EvaluationError("give either --pairs or --clips")
    models = named_models(args)
    if not models:
        raise EvaluationError("nothing to look into: give --model or --weights")
    check_unique([model.name for model in models], "models")
    networks = {model.name: open_network(model) for model in models}
    failed: dict[str, str] = {}
    if args.clips:
        sequences = [sequence for path in args.clips for sequence in read_paired(path)]
        check_unique([sequence.name for sequence in sequences], "targets")
        views = _clip_views(sequences, args.samples)
    else:
        views = _still_views(find_pairs(args.pairs), args.samples, failed)
    features = layer_features(networks, tqdm(views, unit="pair", disable=None), args.tokens, args.seed)
    used = min((len(next(iter(layers.values()))) for layers in features.values() if layers), default=0)
    if used < FEWEST:
        reasons = "".join(f"\n  {reason}" for reason in failed.values())
        raise EvaluationError(f"{used} usable pairs: at least {FEWEST} are needed{reasons}")
    gaps = {name: layer_gaps(layers, args.permutations, args.seed) for name, layers in features.items()}
    report = {
        "images": "frames" if args.clips else "stills",
        "pairs": used,
        "tokens": args.tokens,
        "permutations": args.permutations,
        "seed": args.seed,
        "failed": failed,
        "models": {
            model: {
                inputs: {layer: dataclasses.asdict(gap) for layer, gap in layers.items()}
                for inputs, layers in inputs_gaps.items()
            }
            for model, inputs_gaps in gaps.items()
        },
    }
    show_report(report, args, as_document, write_csv)
    if args.plot:
        draw_gaps(report, args.plot)
    if failed:
        print(f"tpf-eval gap: {len(failed)} pair(s) could not be used, see above", file=sys.stderr)
    return INCOMPLETE if failed else 0


def _still_views(folder: PairFolder, samples: int, failed: dict[str, str]) -> Iterator[View]:
    """Of up to `samples` evenly spaced pairs; `failed` takes those of them that cannot be read."""
    failed |= folder.failed
    for index in evenly(len(folder.pairs), samples):
        files = folder.pairs[index]
        try:
            yield still_view(files.name, *files.read())
        except DatasetError as error:
            failed[files.name] = str(error)


def _clip_views(sequences: list[VideoSequence], samples: int) -> Iterator[View]:
    """Of all targets' frames that show them, up to `samples` evenly spaced ones."""
    frames = [(sequence, int(index)) for sequence in sequences for index in np.flatnonzero(sequence.present)]
    chosen: dict[str, list[int]] = {}
    for position in evenly(len(frames), samples):
        sequence, index = frames[position]
        chosen.setdefault(sequence.name, []).append(index)
    for sequence in sequences:
        if sequence.name in chosen:
            yield from clip_views(sequence, chosen[sequence.name])


def evenly(total: int, wanted: int) -> list[int]:
    """Indices of `wanted` of `total` things, evenly spaced; all where there are no more."""
    return sorted({int(index) for index in np.linspace(0, total - 1, min(total, wanted)).round()})
