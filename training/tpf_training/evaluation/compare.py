"""`tpf-eval compare`: our trackers and others' on labelled clips, side by side."""

import argparse
import dataclasses
import json
import sys
from pathlib import Path

from tpf_training.evaluation.arguments import add_models, check_folders, check_unique, named_models
from tpf_training.evaluation.camera_motion import moved
from tpf_training.evaluation.clips import read_paired, read_single
from tpf_training.evaluation.comparison import EXPLANATION, leads, summarise, tables
from tpf_training.evaluation.degradation import MODALITIES, Degradation
from tpf_training.evaluation.entrants import Entrant, PeerEntrant, TPFEntrant
from tpf_training.evaluation.evaluate import Result, evaluate_all
from tpf_training.evaluation.one_pass import EvaluationError, Sequence
from tpf_training.evaluation.parts import Parts
from tpf_training.evaluation.peers import NANOTRACK_FILES, PEER_INPUTS, PEERS
from tpf_training.evaluation.rules import CLIPS, RULES
from tpf_training.evaluation.sequences import read_folders
from tpf_training.evaluation.table import as_markdown, as_text
from tpf_training.evaluation.tracker_options import add_tracker_options, tracker_settings, whole_number

SETS = {
    "paired": "Paired clips",
    "single": "Single-modality clips (a peer's average is the one image there is)",
    "folder": "Folders of images (where there is one image, it is a peer's average)",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    clips = parser.add_argument_group("clips")
    clips.add_argument(
        "--clips",
        type=Path,
        action="append",
        default=[],
        help="clip folder with visible.mp4, thermal.mp4 and <target>.csv, or a folder of such; repeatable",
    )
    clips.add_argument(
        "--single",
        type=Path,
        metavar="LIST",
        help="file that lists clips, one a line, of the folders visible/ and thermal/ beside it",
    )
    clips.add_argument(
        "--folder",
        type=Path,
        action="append",
        default=[],
        help="folder of clips that are folders of images, as training's source `folder`; repeatable",
    )
    clips.add_argument(
        "--step",
        type=whole_number(1),
        default=1,
        metavar="N",
        help="show only every N-th frame, as a slow camera or computer would; the other options count those",
    )
    clips.add_argument("--frames", type=whole_number(2), metavar="N", help="only the first N frames from each start")
    clips.add_argument(
        "--start-every",
        type=whole_number(1),
        metavar="N",
        help="start at every N-th frame of each target, too, rather than at its first alone",
    )
    clips.add_argument(
        "--camera-motion",
        type=whole_number(1),
        metavar="PIXELS",
        help="shift the images at random by about so much from frame to frame, as if the camera were flown or carried",
    )
    trackers = parser.add_argument_group("trackers")
    add_models(trackers)
    trackers.add_argument("--peer", action="append", default=[], choices=PEERS, help="another tracker; repeatable")
    trackers.add_argument(
        "--peer-input",
        action="append",
        choices=PEER_INPUTS,
        help="what the peers see; repeatable (default: each of these in turn)",
    )
    trackers.add_argument(
        "--nanotrack", type=Path, metavar="DIR", help=f"folder with {' and '.join(NANOTRACK_FILES)}, for --peer nano"
    )
    failing = parser.add_argument_group("a failing camera")
    for kind, meaning in (("black", "is black, and the trackers are not told"), ("absent", "gives no images any more")):
        failing.add_argument(f"--{kind}", choices=MODALITIES, help=f"camera that {meaning}")
        failing.add_argument(
            f"--{kind}-from",
            type=whole_number(1),
            metavar="N",
            help="from this frame of each target on, 0 being its first",
        )
    running = parser.add_argument_group("running and writing")
    running.add_argument("--rules", choices=RULES, default=CLIPS.name, help="what counts (default: %(default)s)")
    add_tracker_options(running)
    running.add_argument(
        "--workers", type=whole_number(1), default=1, help="processes, which slow each other's FPS down"
    )
    running.add_argument("--json", type=Path, metavar="FILE", help="write all numbers there")
    running.add_argument("--markdown", type=Path, metavar="FILE", help="write the tables there")


def run(args: argparse.Namespace) -> int:
    sets = {
        "paired": [sequence for path in args.clips for sequence in read_paired(path)],
        "single": read_single(args.single) if args.single else [],
        "folder": [sequence for path in args.folder for sequence in read_folders(path)],
    }
    sets = {name: _checked(sequences, args) for name, sequences in sets.items() if sequences}
    if not sets:
        raise EvaluationError("nothing to evaluate on: give --clips, --single or --folder")
    entrants, degradation = _entrants(args), _degradation(args)
    check_folders(args.json, args.markdown)
    sequences = [sequence for group in sets.values() for sequence in group]
    results = evaluate_all(entrants, sequences, RULES[args.rules], degradation, args.workers, _show)
    report = {
        "rules": dataclasses.asdict(RULES[args.rules]),
        "degradation": degradation and dataclasses.asdict(degradation),
        "step": args.step,
        "camera_motion": args.camera_motion,
        "threads": args.threads,
        "workers": args.workers,
        "entrants": {entrant.name: dataclasses.asdict(entrant) for entrant in entrants},
        "sets": {name: summarise(_of(results, group), group) for name, group in sets.items()},
    }
    print(_document(report, entrants, as_text))
    if args.json:
        args.json.write_text(json.dumps(report, indent=1, default=str) + "\n")
    if args.markdown:
        args.markdown.write_text(_document(report, entrants, as_markdown) + "\n")
    return 0


def _checked(sequences: list[Parts], args: argparse.Namespace) -> list[Sequence]:
    check_unique([sequence.name for sequence in sequences], "targets")
    sequences = [sequence.stepped(args.step) for sequence in sequences]
    if args.start_every:
        sequences = [start for sequence in sequences for start in sequence.anchored(args.start_every)]
    if args.frames:
        sequences = [sequence.head(args.frames) for sequence in sequences]
    return [moved(sequence, args.camera_motion) for sequence in sequences] if args.camera_motion else sequences


def _entrants(args: argparse.Namespace) -> list[Entrant]:
    ours = tracker_settings(args) | {"step": args.step}
    entrants: list[Entrant] = [TPFEntrant(m.name, m.model, m.weights, **ours) for m in named_models(args)]
    entrants += [
        PeerEntrant(peer, source, args.nanotrack if peer == "nano" else None, args.threads)
        for peer in args.peer
        for source in args.peer_input or PEER_INPUTS
    ]
    names = [entrant.name for entrant in entrants]
    if not names:
        raise EvaluationError("nothing to evaluate: give --model, --weights or --peer")
    check_unique(names, "trackers")
    return entrants


def _degradation(args: argparse.Namespace) -> Degradation | None:
    for kind in ("black", "absent"):
        if (getattr(args, kind) is None) != (getattr(args, f"{kind}_from") is None):
            raise EvaluationError(f"--{kind} and --{kind}-from go together")
    if args.black and args.absent:
        raise EvaluationError("--black and --absent exclude each other")
    if args.black:
        return Degradation(args.black, args.black_from, black=True)
    return Degradation(args.absent, args.absent_from, black=False) if args.absent else None


def _show(result: Result) -> None:
    scores = result.scores.summary()
    numbers = f"SR {100 * scores['sr']:.1f}, kept {100 * scores['kept']:.1f}, {result.tracked / result.seconds:.1f} FPS"
    print(f"{result.entrant} on {result.sequence}: {numbers}", file=sys.stderr, flush=True)


def _of(results: list[Result], sequences: list[Sequence]) -> list[Result]:
    names = {sequence.name for sequence in sequences}
    return [result for result in results if result.sequence in names]


def _document(report: dict, entrants: list[Entrant], layout) -> str:
    parts = []
    for name, summary in report["sets"].items():
        heading = f"## {SETS[name]}" if layout is as_markdown else SETS[name]
        parts += [heading, tables(summary, layout), *leads(summary, entrants)]
    return "\n\n".join([*parts, EXPLANATION, _conditions(report)])


def _conditions(report: dict) -> str:
    rules, degradation = report["rules"], report["degradation"]
    boxes = "rounded to whole pixels" if rules["rounded"] else "not rounded"
    absent = "count: never a success, always precise" if rules["absent_counts"] else "do not count"
    lines = [
        f"Rules '{rules['name']}': boxes are {boxes}; frames in which the target is absent or unlabelled {absent}.",
        f"{report['threads']} thread(s) each, {report['workers']} process(es).",
    ]
    if report["step"] > 1:
        lines.append(f"One frame in {report['step']} was shown.")
    if report["camera_motion"]:
        lines.append(f"The camera moves by about {report['camera_motion']} pixels a frame.")
    if degradation:
        kind = "black" if degradation["black"] else "absent"
        lines.append(f"{degradation['modality']} images are {kind} from each target's frame {degradation['start']} on.")
    return "\n".join(lines)
