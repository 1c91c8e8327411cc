"""`tpf-eval score`: any tracker's result files against a benchmark's true boxes, by the benchmark's own rules."""

import argparse
import sys
from dataclasses import dataclass
from pathlib import Path

from tpf_training.datasets.record import DatasetError
from tpf_training.evaluation.arguments import add_files, check_folders
from tpf_training.evaluation.benchmarks import BENCHMARKS, Benchmark
from tpf_training.evaluation.ground_truth import Truth, find_truth, read_attributes, read_truth
from tpf_training.evaluation.one_pass import EvaluationError
from tpf_training.evaluation.result_files import name_results, read_result
from tpf_training.evaluation.score_report import TrackerTallies, as_document, make_report, write_csv
from tpf_training.evaluation.sequence_list import ALL
from tpf_training.evaluation.show_report import INCOMPLETE, show_report
from tpf_training.evaluation.tally import tally

GT_HELP = "the benchmark's true boxes as published, without images; of folder and clips with them"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_result_arguments(parser, "gt", GT_HELP)
    add_files(parser)


def add_result_arguments(parser: argparse.ArgumentParser, root: str, root_help: str) -> None:
    """What is scored, for every verb that scores. root: the name of the option for the data set's folder."""
    parser.add_argument("--dataset", required=True, choices=BENCHMARKS)
    parser.add_argument(f"--{root}", dest="root", required=True, type=Path, metavar="PATH", help=root_help)
    parser.add_argument(
        "--results",
        required=True,
        nargs="+",
        action="extend",  # so that no tracker is lost where the option is given again
        metavar="[NAME=]DIR",
        help="a tracker's files <sequence>.txt, x y w h (or four corners) a line; several trackers: several folders",
    )
    toolkits = sorted({toolkit for choices in BENCHMARKS.values() for toolkit in choices})
    parser.add_argument("--toolkit", choices=toolkits, help="whose rules count (default: the first that there is)")
    parser.add_argument(
        "--sequences", metavar="FILE", help=f"list of the sequences that count, or {ALL!r} (default: test list)"
    )
    parser.add_argument("--cut", action="store_true", help="leave out lines beyond the last frame, as the toolkits do")


def run(args: argparse.Namespace) -> int:
    check_folders(args.json, args.csv, args.markdown)
    report = score_arguments(args).report
    show_report(report, args, as_document, write_csv)
    failed = sum(len(tracker["failed"]) for tracker in report["trackers"].values())
    if failed:
        print(f"tpf-eval score: {failed} result(s) could not be scored, see above", file=sys.stderr)
    return INCOMPLETE if failed else 0


@dataclass(frozen=True)
class Scored:
    """What was scored, and the numbers, see `make_report`.

    folders: of results, by tracker, in the order given. files: in them, by tracker and sequence.
    """

    benchmark: Benchmark
    sequences: list[Truth]
    folders: dict[str, Path]
    files: dict[str, dict[str, Path]]
    report: dict


def score_arguments(args: argparse.Namespace) -> Scored:
    """What the arguments of `add_result_arguments` ask for; errors as of `score_folders`."""
    benchmark = choose_benchmark(args.dataset, args.toolkit)
    return score_folders(benchmark, args.root, args.sequences, _folders(args.results), args.cut)


def score_folders(
    benchmark: Benchmark, gt: Path, listed: str | None, folders: dict[str, Path], cut: bool = False
) -> Scored:
    """The result files in `folders`, by tracker, against the true boxes in `gt`.

    listed: see `choose_sequences`. Errors as of `find_truth`; EvaluationError for a folder without results.
    """
    sequences, chosen = find_truth(gt, benchmark, listed)
    names = [sequence.name for sequence in sequences]
    attributes = read_attributes(gt, benchmark.truth, names)
    files = {name: name_results(folder, names) for name, folder in folders.items()}
    trackers = score_results(benchmark, sequences, files, cut)
    return Scored(benchmark, sequences, folders, files, make_report(benchmark, chosen, trackers, attributes))


def score_results(
    benchmark: Benchmark, sequences: list[Truth], files: dict[str, dict[str, Path]], cut: bool = False
) -> list[TrackerTallies]:
    """Every tracker on every sequence; one sequence is in memory at a time. files: by tracker and sequence.

    A result file that is missing or damaged fails that sequence of that tracker, true boxes that are fail it of all.
    """
    trackers = [TrackerTallies(name, {}, {}) for name in files]
    for sequence in sequences:
        try:
            truths = read_truth(sequence, benchmark)
        except DatasetError as error:
            for tracker in trackers:
                tracker.failed[sequence.name] = str(error)
            continue
        for tracker in trackers:
            file = files[tracker.name][sequence.name]
            try:
                boxes = read_result(file, len(truths[0]), benchmark.rules, benchmark.every, cut)
            except DatasetError as error:
                tracker.failed[sequence.name] = str(error)
            else:
                tracker.tallies[sequence.name] = tally(boxes, truths, benchmark)
    return trackers


def choose_benchmark(name: str, toolkit: str | None = None) -> Benchmark:
    """The rules of `toolkit` for the data set `name`, or of its first; EvaluationError where there are none."""
    choices = BENCHMARKS[name]
    if toolkit is None:
        return next(iter(choices.values()))
    if toolkit not in choices:
        raise EvaluationError(f"{name} has no rules of the toolkit {toolkit!r}, only of {', '.join(choices)}")
    return choices[toolkit]


def _folders(given: list[str]) -> dict[str, Path]:
    folders: dict[str, Path] = {}
    for text in given:
        name, equals, folder = text.partition("=")
        if not equals or Path(text).is_dir():
            name, folder = Path(text).absolute().name, text
        if not name or not folder:
            raise EvaluationError(f"--results {text!r}: give DIR or NAME=DIR")
        if name in folders:
            raise EvaluationError(f"two trackers are called {name!r}: call one of them otherwise, by NAME=DIR")
        folders[name] = Path(folder)
    return folders
