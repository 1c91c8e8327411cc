"""A verb's report: on the screen, and in the files that were asked for."""

import argparse
import json
from collections.abc import Callable
from pathlib import Path

from tpf_training.evaluation.table import Layout, as_markdown, as_text

INCOMPLETE = 1  # exit status: done as far as the input allowed


def show_report(
    report: dict,
    args: argparse.Namespace,
    as_document: Callable[[dict, Layout], str],
    write_csv: Callable[[dict, Path], None],
) -> None:
    """Print `report` and write the files of `add_files`."""
    print(as_document(report, as_text))
    if args.json:
        args.json.write_text(json.dumps(report, indent=1) + "\n")
    if args.csv:
        write_csv(report, args.csv)
    if args.markdown:
        args.markdown.write_text(as_document(report, as_markdown) + "\n")
