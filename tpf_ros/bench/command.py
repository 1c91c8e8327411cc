"""The arguments of `tpf bench`, and what it does with the rows."""

import argparse
import sys
from pathlib import Path

from tpf_ros.bench.guard import worse_rows
from tpf_ros.bench.report import as_text, write_markdown
from tpf_ros.bench.rows_file import merge_rows, read_rows, write_rows
from tpf_ros.command_error import CommandError

GROUPS = "cpu, gpu, start, error"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    measuring = parser.add_argument_group("measuring")
    # Extended, so that nothing is lost where an option is given again.
    measuring.add_argument(
        "--only", nargs="+", action="extend", default=[], metavar="NAME", help=f"rows or groups: {GROUPS}"
    )
    measuring.add_argument("--quick", action="store_true", help="few repetitions: for a look, not for a report")
    measuring.add_argument("--device", default="auto", help="auto (the CPU, and a GPU if any), cpu, cuda, cuda:N")
    measuring.add_argument("--threads", type=_count, default=2, metavar="N", help="on the CPU (default: %(default)s)")
    measuring.add_argument(
        "--clips",
        type=Path,
        nargs="+",
        action="extend",
        default=[],
        metavar="DIR",
        help="labelled clips (visible.mp4, thermal.mp4, <target>.csv): what int8 costs in accuracy, in minutes",
    )
    measuring.add_argument(
        "--from",
        dest="earlier",
        type=Path,
        nargs="+",
        action="extend",
        metavar="FILE",
        help="measure nothing: take the rows of earlier runs' JSON files, the later ones' where several have one",
    )
    results = parser.add_argument_group("results")
    results.add_argument("--json", type=Path, metavar="FILE", help="write the rows")
    results.add_argument("--markdown", type=Path, metavar="FILE", help="write the table into this page")
    results.add_argument("--plot", type=Path, metavar="DIR", help="draw pictures into this folder")
    results.add_argument(
        "--guard", type=Path, metavar="FILE", help="exit with 1 where a ratio is worse than in this earlier run's JSON"
    )
    results.add_argument(
        "--tolerance", type=_share, default=0.15, metavar="SHARE", help="of the guard (default: %(default)s)"
    )


def run(args: argparse.Namespace) -> int:
    """0: all that can be measured here was. 1: something failed, or the guard says so."""
    try:
        _check_outputs(args)
        guarded = read_rows(args.guard) if args.guard else None
        rows, failed = _read(args.earlier) if args.earlier else _measure(args)
        worse = worse_rows(rows, guarded, args.tolerance) if guarded is not None else []
        _write(args, rows)
    except ValueError as error:
        raise CommandError(str(error)) from error
    for sentence in worse:
        print(f"worse than in {args.guard}: {sentence}")
    return 1 if worse or failed else 0


def _check_outputs(args: argparse.Namespace) -> None:
    """Before minutes of measuring."""
    for option in ("json", "markdown"):
        file = getattr(args, option)
        if file and not file.absolute().parent.is_dir():
            raise ValueError(f"--{option} {file}: there is no folder {file.absolute().parent}")
    if args.plot and not args.plot.is_dir():
        raise ValueError(f"--plot {args.plot}: there is no such folder")


def _measure(args: argparse.Namespace) -> tuple[list[dict], bool]:
    """The rows, shown as they come, and whether one failed."""
    # Not above: it imports PyTorch, which takes seconds.
    from tpf_model.timing.machine import describe_machine
    from tpf_ros.bench import suite
    from tpf_ros.bench.conditions import Conditions
    from tpf_ros.bench.row import NotMeasured, to_json

    wanted = suite.select(args.only)
    conditions = Conditions(args.device, args.threads, clips=tuple(args.clips))
    conditions = conditions.quick() if args.quick else conditions
    conditions.check()
    machine = describe_machine()
    print(machine, file=sys.stderr)
    rows, failed = [], False
    for target, result in suite.measure(wanted, conditions):
        rows.append(to_json(target, result, machine))
        failed |= isinstance(result, NotMeasured) and result.failed
        print(as_text(rows[-1]), flush=True)
    return rows, failed


def _read(files: list[Path]) -> tuple[list[dict], bool]:
    rows = merge_rows([read_rows(file) for file in files])
    print("\n".join(map(as_text, rows)))
    return rows, False


def _write(args: argparse.Namespace, rows: list[dict]) -> None:
    if args.json:
        write_rows(args.json, rows)
    if args.markdown:
        write_markdown(args.markdown, rows)
    if args.plot:
        from tpf_ros.bench.plot import draw  # with matplotlib behind it

        draw(args.plot, rows)


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number >= 1")
    return int(text)


def _share(text: str) -> float:
    try:
        if 0 <= float(text) < 10:
            return float(text)
    except ValueError:
        pass
    raise argparse.ArgumentTypeError(f"{text!r} must be a share, 0.15 for 15 %")
