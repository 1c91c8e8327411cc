"""`tpf-eval features`: fused images, encoders' feature maps and score maps as pictures, models side by side."""

import argparse
import difflib
import re
import sys
from pathlib import Path

import cv2
import torch

from tpf_training.datasets.record import DatasetError
from tpf_training.evaluation.arguments import add_models, check_unique, named_models, named_path
from tpf_training.evaluation.clips import VideoSequence, read_paired
from tpf_training.evaluation.feature_columns import Picture, ShownModel, model_pictures, source_pictures
from tpf_training.evaluation.feature_maps import MAPS
from tpf_training.evaluation.feature_sheet import FORMATS, draw_sheet
from tpf_training.evaluation.one_pass import EvaluationError
from tpf_training.evaluation.output_folder import make_folder
from tpf_training.evaluation.pair_folder import find_pairs
from tpf_training.evaluation.show_report import INCOMPLETE
from tpf_training.evaluation.training_checkpoint import load_checkpoint
from tpf_training.evaluation.views import View, clip_views, open_network, still_view


def add_arguments(parser: argparse.ArgumentParser) -> None:
    images = parser.add_argument_group("images")
    images.add_argument(
        "--clip", type=Path, help="folder with visible.mp4, thermal.mp4 and <target>.csv: the target's surroundings"
    )
    images.add_argument("--target", help="its target; needed where the clip has several")
    images.add_argument("--frames", type=_numbers, metavar="N,N,..", help="of the clip, counted as in its box files")
    images.add_argument(
        "--pairs",
        type=Path,
        metavar="FOLDER",
        help="<set>/{visible,thermal}/<name> or {visible,thermal}/<name>: the largest square of each still",
    )
    images.add_argument("--names", metavar="SET/NAME,..", help="which of the pairs")
    models = parser.add_argument_group("models")
    add_models(models)
    models.add_argument(
        "--checkpoint",
        type=named_path,
        action="append",
        default=[],
        metavar="NAME=FILE",
        help="a fine-tuning run's checkpoints/last.ckpt: the network of its last step with DRF's branches; repeatable",
    )
    shown = parser.add_argument_group("pictures")
    shown.add_argument(
        "--layers",
        type=_numbers,
        metavar="N,N,..",
        help="blocks to show, 0 the embedding (default: at 1/3, 2/3 and the end)",
    )
    shown.add_argument(
        "--map",
        choices=MAPS,
        default=MAPS[0],
        help="mean absolute activation, or the first 3 principal components as colours (default: %(default)s)",
    )
    shown.add_argument("--out", type=Path, required=True, metavar="FOLDER", help="for the sheet and single pictures")
    shown.add_argument("--format", choices=FORMATS, default=FORMATS[0], help="of the sheet (default: %(default)s)")


def run(args: argparse.Namespace) -> int:
    models = _models(args)
    failed: list[str] = []
    views = _clip(args) if args.clip else _stills(args, failed)
    make_folder(args.out)
    rows: dict[str, list[tuple[str, Picture]]] = {}
    for view in views:
        rows[view.name] = [("", picture) for picture in source_pictures(models[0], view)]
        for model in models:
            rows[view.name] += [(model.name, picture) for picture in model_pictures(model, view, args.map)]
    for reason in failed:
        print(f"tpf-eval features: not shown: {reason}", file=sys.stderr)
    if not rows:
        raise EvaluationError("no picture could be made")
    for name, pictures in rows.items():
        folder = args.out / _file_name(name)
        folder.mkdir(parents=True, exist_ok=True)
        for model, picture in pictures:
            file = folder / f"{_file_name(f'{model} {picture.title}'.strip())}.png"
            file.write_bytes(cv2.imencode(".png", cv2.cvtColor(picture.image, cv2.COLOR_RGB2BGR))[1])
    sheet = args.out / f"sheet.{args.format}"
    draw_sheet(rows, sheet)
    columns = len(next(iter(rows.values())))
    print(f"{sheet}: {len(rows)} rows, {columns} columns; single pictures in the folders beside it")
    return INCOMPLETE if failed else 0


def _models(args: argparse.Namespace) -> list[ShownModel]:
    named = named_models(args)
    names = [model.name for model in named] + [name for name, _ in args.checkpoint]
    if not names:
        raise EvaluationError("nothing to show: give --model, --weights or --checkpoint")
    check_unique(names, "models")
    models = []
    for model in named:
        network = open_network(model)
        models.append(ShownModel(model.name, network, _layers(args.layers, model.name, network.config.depth)))
    for name, path in args.checkpoint:
        network, decoupling = load_checkpoint(path)
        if decoupling is None:
            print(
                f"{name}: {path} has no auxiliary branches (its run had drf.enabled=false): the fusion branch is shown",
                file=sys.stderr,
            )
        device = "cuda" if torch.cuda.is_available() else "cpu"
        network, decoupling = network.to(device), decoupling and decoupling.to(device)
        models.append(ShownModel(name, network, _layers(args.layers, name, network.config.depth), decoupling))
    return models


def _layers(given: list[int] | None, name: str, depth: int) -> tuple[int, ...]:
    for layer in given or ():
        if layer > depth:
            raise EvaluationError(f"{name}: has the layers 0 to {depth}, not {layer}")
    return tuple(given or sorted({max(1, depth // 3), max(1, 2 * depth // 3), depth}))


def _clip(args: argparse.Namespace) -> list[View]:
    if args.pairs or not args.frames:
        raise EvaluationError("--clip goes with --frames, and without --pairs")
    if not (args.clip / "visible.mp4").exists():
        raise EvaluationError(f"{args.clip}: no clip, expected visible.mp4, thermal.mp4 and <target>.csv in it")
    sequences = {sequence.name.rpartition("/")[2]: sequence for sequence in read_paired(args.clip)}
    if args.target is None and len(sequences) > 1:
        raise EvaluationError(f"{args.clip}: has the targets {', '.join(sequences)}: choose one by --target")
    target = args.target or next(iter(sequences))
    if target not in sequences:
        raise EvaluationError(f"{args.clip}: has no target {target!r}, only {', '.join(sequences)}")
    sequence = sequences[target]
    return list(clip_views(sequence, [_index(sequence, frame) for frame in sorted(set(args.frames))]))


def _index(sequence: VideoSequence, frame: int) -> int:
    index = frame - sequence.first
    if not 0 <= index < len(sequence.boxes):
        last = sequence.first + len(sequence.boxes) - 1
        raise EvaluationError(f"{sequence.name}: has boxes from frame {sequence.first} to {last}, not of {frame}")
    if not sequence.present[index]:
        raise EvaluationError(f"{sequence.name}: the target is absent or has no box in frame {frame}")
    return index


def _stills(args: argparse.Namespace, failed: list[str]) -> list[View]:
    """`failed` takes what is wrong with those that cannot be read."""
    if not args.pairs or not args.names:
        raise EvaluationError("give --clip with --frames, or --pairs with --names")
    folder = find_pairs(args.pairs)
    pairs = {files.name: files for files in folder.pairs}
    views = []
    for name in args.names.split(","):
        if name in folder.failed:
            failed.append(folder.failed[name])
            continue
        if name not in pairs:
            near = difflib.get_close_matches(name, pairs, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise EvaluationError(f"{args.pairs}: has no pair {name!r}{hint}")
        try:
            views.append(still_view(name, *pairs[name].read()))
        except DatasetError as error:
            failed.append(str(error))
    return views


def _numbers(text: str) -> list[int]:
    if not re.fullmatch(r"\d+(,\d+)*", text):
        raise argparse.ArgumentTypeError(f"{text!r} is no list of whole numbers, like 100,200")
    return [int(number) for number in text.split(",")]


def _file_name(text: str) -> str:
    return re.sub(r"[^\w.-]+", "_", text)
