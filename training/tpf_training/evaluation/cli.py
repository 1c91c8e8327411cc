"""The command `tpf-eval`: one verb a module, which has `add_arguments(parser)` and `run(args) -> exit status`."""

import argparse
import importlib
import sys

from tpf_training.datasets.record import DatasetError
from tpf_training.evaluation.one_pass import EvaluationError

# A verb's module is imported only when the verb is asked for.
VERBS = {
    "compare": "our trackers and others' on labelled clips, side by side",
    "score": "result files against a benchmark's true boxes, by its own rules",
}
INTERRUPTED = 130  # the shell's exit status for SIGINT


def main(arguments: list[str] | None = None) -> int:
    """Run `tpf-eval`; returns the exit status.

    0 done, 1 done as far as the input allowed, 2 unusable arguments or input, 130 interrupted.
    """
    arguments = sys.argv[1:] if arguments is None else arguments
    args = _parser(arguments[0] if arguments else None).parse_args(arguments)
    try:
        return args.run(args)
    except (DatasetError, EvaluationError) as error:
        print(f"tpf-eval {args.verb}: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"tpf-eval {args.verb}: interrupted", file=sys.stderr)
        return INTERRUPTED


def _parser(chosen: str | None) -> argparse.ArgumentParser:
    """The parser, with the arguments of the `chosen` verb only."""
    parser = argparse.ArgumentParser(prog="tpf-eval", description="Evaluate trackers on visible and thermal video.")
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", required=True)
    for verb, description in VERBS.items():
        sentence = f"{description[0].upper()}{description[1:]}."
        verb_parser = verbs.add_parser(verb, help=description, description=sentence)
        if verb == chosen:
            module = importlib.import_module(f"tpf_training.evaluation.{verb}")
            module.add_arguments(verb_parser)
            verb_parser.set_defaults(run=module.run)
    return parser


if __name__ == "__main__":
    sys.exit(main())
