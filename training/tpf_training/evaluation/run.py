"""`tpf-eval run`: one of our trackers over a data set in one pass, as result files as LasHeR's toolkit reads them."""

import argparse
import shlex
import sys
import time
from datetime import timedelta
from pathlib import Path

import torch

from tpf_model.config import AUTO, variant_names
from tpf_model.weights import shipped_weights
from tpf_training.datasets.record import DatasetError
from tpf_training.evaluation.benchmarks import Benchmark
from tpf_training.evaluation.entrants import TPFEntrant
from tpf_training.evaluation.one_pass import EvaluationError, Run, Sequence
from tpf_training.evaluation.result_files import TIMES, damage_file, result_file, write_lines, write_result
from tpf_training.evaluation.run_jobs import Job, open_tracker, run_jobs
from tpf_training.evaluation.run_record import device_name, join_run, tracker_record
from tpf_training.evaluation.run_shares import Rank, share_of, this_rank
from tpf_training.evaluation.score import choose_benchmark, score_folders
from tpf_training.evaluation.score_report import as_document
from tpf_training.evaluation.sequence_list import ALL
from tpf_training.evaluation.sequences import DATASETS, Opener, find_openers
from tpf_training.evaluation.show_report import INCOMPLETE
from tpf_training.evaluation.table import as_text
from tpf_training.evaluation.tracker_options import add_tracker_options, tracker_settings, whole_number


def add_arguments(parser: argparse.ArgumentParser) -> None:
    data = parser.add_argument_group("data set")
    data.add_argument("--dataset", required=True, choices=DATASETS)
    data.add_argument("--root", required=True, type=Path, metavar="PATH", help="its folder, as published")
    data.add_argument(
        "--sequences", metavar="FILE", help=f"list of the sequences to run, or {ALL!r} (default: test list)"
    )
    tracker = parser.add_argument_group("tracker").add_mutually_exclusive_group(required=True)
    tracker.add_argument("--model", choices=variant_names(), help="model with the weights that ship")
    tracker.add_argument("--weights", type=Path, metavar="FILE", help="weights file of any model")
    running = parser.add_argument_group("running and writing")
    running.add_argument("--out", type=Path, metavar="DIR", help="for the results (default: results/DATASET/NAME)")
    add_tracker_options(running)
    running.add_argument("--workers", type=whole_number(1), metavar="N", help="processes (default: one a device)")
    running.add_argument(
        "--devices", nargs="+", metavar="DEVICE", help="N for so many GPUs, or their names: processes take the next"
    )


def run(args: argparse.Namespace, rank: Rank | None = None) -> int:
    """rank: which of the sequences are taken; None: as the launcher says."""
    benchmark, rank = choose_benchmark(args.dataset), rank or this_rank()
    devices = _devices(args, rank)
    workers = args.workers or len(devices)
    if workers < len(devices):
        raise EvaluationError(f"--workers {workers} cannot use {len(devices)} devices: give as many, or more")
    tracker, weights = args.model or args.weights.stem, args.weights or shipped_weights(args.model)
    tests = benchmark.truth.test if benchmark.truth else ()
    openers, _ = find_openers(args.dataset, args.root, tests, args.sequences)
    clash = next((name for name in openers if f"{name}{TIMES}" in openers), None)
    if clash:
        raise EvaluationError(f"{clash}{TIMES}.txt would hold the times of {clash} and the boxes of another sequence")
    entrant = TPFEntrant(tracker, args.model or AUTO, args.weights, **{**tracker_settings(args), "device": devices[0]})
    info = open_tracker(entrant).info
    settings = {
        "dataset": args.dataset,
        **tracker_record(info, weights, entrant),
        "sequences": list(openers),
    }
    out = args.out or Path("results", args.dataset, tracker)
    join_run(out, tracker, args.root, settings, device_name(info))
    sequences, unopened = _open_all(openers)
    share = share_of({name: len(sequence.boxes) for name, sequence in sequences.items()}, rank)
    for name in share:
        damage_file(out, name).unlink(missing_ok=True)  # of an earlier start: it is tried again
    for name, reason in unopened.items() if rank.index == 0 else ():
        write_lines(damage_file(out, name), [reason])
        _say(reason)
    todo = [Job(entrant, sequences[name]) for name in share if not result_file(out, name).is_file()]
    whose = f"process {rank.index + 1} of {rank.count}: " if rank.count > 1 else ""
    _say(f"{whose}{len(share)} of {len(openers)} sequences, {len(share) - len(todo)} of them done before, to {out}")
    _track(todo, out, workers, devices)
    join_run(out, tracker, args.root, settings, device_name(info))
    left = [name for name in openers if not result_file(out, name).is_file()]
    damaged = [name for name in left if damage_file(out, name).is_file()]
    if len(left) > len(damaged):
        # Not a failure even with damage, at which torchrun would end the others.
        others = len(left) - len(damaged)
        _say(f"{others} sequence(s) are still the other processes'; then: {_score_command(args, out)}")
        return 0
    if damaged:
        _say(f"{len(damaged)} damaged sequence(s) without results: {', '.join(damaged)}")
    scored = _score(args, benchmark, tracker, out, sequences)
    return INCOMPLETE if damaged or not scored else 0


def _devices(args: argparse.Namespace, rank: Rank) -> list[str]:
    """Where the processes run; the same kind for all, as results must not depend on which one took a sequence."""
    if args.devices is None:
        if args.device == "auto" and rank.count > 1 and torch.cuda.is_available():
            return [f"cuda:{rank.local % torch.cuda.device_count()}"]
        return [args.device]
    if args.device != "auto":
        raise EvaluationError("--device and --devices exclude each other")
    names = args.devices
    if len(names) == 1 and names[0].isdigit():
        names = [f"cuda:{index}" for index in range(int(names[0]))]
    if not names or len({name.partition(":")[0] for name in names}) > 1:
        raise EvaluationError(f"--devices {' '.join(args.devices)}: give one or more of one kind")
    return names


def _open_all(openers: dict[str, Opener]) -> tuple[dict[str, Sequence], dict[str, str]]:
    """The sequences, and for those that are damaged, why."""
    sequences, damaged = {}, {}
    for name, opener in openers.items():
        try:
            sequences[name] = opener()
        except DatasetError as error:
            damaged[name] = str(error)
    return sequences, damaged


def _track(jobs: list[Job], out: Path, workers: int, devices: list[str]) -> None:
    """Run `jobs` and write each one's result, or its damage, as it ends."""
    started, done, total = time.monotonic(), 0, sum(len(job.sequence.boxes) for job in jobs)
    for number, (job, outcome) in enumerate(run_jobs(jobs, min(workers, max(1, len(jobs))), devices), start=1):
        name, frames = job.sequence.name, len(job.sequence.boxes)
        done += frames
        if isinstance(outcome, Run):
            write_result(out, name, outcome)
            text = f"{frames} frames, {(frames - 1) / outcome.seconds[1:].sum():.1f} FPS"
        else:
            text = str(outcome)
            write_lines(damage_file(out, name), [text])
        left = timedelta(seconds=round((time.monotonic() - started) * (total - done) / done))
        _say(f"[{number}/{len(jobs)}] {name}: {text}; {left} left")


def _score(
    args: argparse.Namespace, benchmark: Benchmark, tracker: str, out: Path, sequences: dict[str, Sequence]
) -> bool:
    """Print the scores where there are true boxes; whether all that could be scored was."""
    unlabelled = next((name for name, sequence in sequences.items() if not sequence.present[1:].any()), None)
    if unlabelled:
        _say(f"not scored: of {unlabelled} only the first box is known")
        return True
    try:
        report = score_folders(benchmark, args.root, args.sequences, {tracker: out}).report
    except (DatasetError, EvaluationError) as error:
        _say(f"not scored: {error}")
        return False
    print(as_document(report, as_text))
    return not report["trackers"][tracker]["failed"]


def _score_command(args: argparse.Namespace, out: Path) -> str:
    parts = ["tpf-eval", "score", "--dataset", args.dataset, "--gt", args.root, "--results", out]
    parts += ["--sequences", args.sequences] if args.sequences else []
    return shlex.join(map(str, parts))


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
