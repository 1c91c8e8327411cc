"""`tpf-eval plot`: trackers' result files as figures: the benchmark's curves, attributes, speed against accuracy."""

import argparse
import sys
from pathlib import Path

from tpf_training.evaluation.output_folder import make_folder
from tpf_training.evaluation.plot_figures import draw_figures, frame_rates, left_out
from tpf_training.evaluation.plot_style import FORMATS, ground, lines, save
from tpf_training.evaluation.score import GT_HELP, add_result_arguments, score_arguments
from tpf_training.evaluation.show_report import INCOMPLETE


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_result_arguments(parser, "gt", GT_HELP)
    parser.add_argument("--out", required=True, type=Path, metavar="FOLDER", help="where the figures go")
    parser.add_argument("--format", nargs="+", choices=FORMATS, default=["png"], help="of the figures (default: png)")


def run(args: argparse.Namespace) -> int:
    scored = score_arguments(args)
    make_folder(args.out)
    rates, damaged = frame_rates(scored)
    with ground():
        for stem, figure in draw_figures(scored, rates, lines(list(scored.folders))).items():
            for file in save(figure, args.out / stem, args.format):
                print(file)
    failed = [
        f"{name}: {reason}" for name, t in scored.report["trackers"].items() for reason in t["failed"].values()
    ] + damaged
    for note in [*left_out(scored, rates), *failed]:
        print(f"tpf-eval plot: {note}", file=sys.stderr)
    return INCOMPLETE if failed else 0
