"""`tpf-eval report`: a page about one run that a person opens: scores, figures, and the worst sequences in pictures."""

import argparse
import sys
from pathlib import Path

from tpf_training.evaluation.plot_figures import frame_rates
from tpf_training.evaluation.report_content import report_content
from tpf_training.evaluation.report_folder import ReportFolder
from tpf_training.evaluation.report_page import render_page
from tpf_training.evaluation.report_run import read_run
from tpf_training.evaluation.score import add_result_arguments, score_arguments
from tpf_training.evaluation.sequence_list import ALL
from tpf_training.evaluation.sequences import find_openers
from tpf_training.evaluation.show_report import INCOMPLETE
from tpf_training.evaluation.tracker_options import whole_number


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_result_arguments(parser, "root", "the data set as published: images and true boxes")
    parser.add_argument("--out", required=True, type=Path, metavar="FOLDER", help="where the report goes")
    parser.add_argument(
        "--worst", type=whole_number(1), default=10, metavar="N", help="sequences in pictures (default: %(default)s)"
    )
    parser.add_argument(
        "--frames",
        type=whole_number(1),
        default=8,
        metavar="N",
        help="pictures of each, evenly spaced, and one more where the target is lost (default: %(default)s)",
    )


def run(args: argparse.Namespace) -> int:
    scored = score_arguments(args)
    subject, results = next(iter(scored.folders.items()))
    about = read_run(results)
    openers, _ = find_openers(args.dataset, args.root, listed=ALL)
    folder = ReportFolder(args.out)
    rates, damaged = frame_rates(scored)
    content, lacking = report_content(scored, rates, openers, folder, args.worst, args.frames, args.cut)
    folder.page.write_text(render_page(**content, run=about, damaged=damaged), encoding="utf-8")
    print(folder.page)
    problems = content["failed"] + damaged + lacking
    for problem in problems:
        print(f"tpf-eval report: {problem}", file=sys.stderr)
    return INCOMPLETE if problems else 0
