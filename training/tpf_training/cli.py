"""The command `tpf-train`: one subcommand a file of `commands`."""

import argparse
import sys

from tpf_model.weights import WeightsError
from tpf_training.commands import ablate, distill, export, finetune
from tpf_training.config import ConfigError, shipped_configs
from tpf_training.datasets.record import DatasetError
from tpf_training.evaluation.one_pass import EvaluationError
from tpf_training.mad.experts import ExpertError

COMMANDS = {"distill": distill, "finetune": finetune, "export": export, "ablate": ablate}


def main(arguments: list[str] | None = None) -> None:
    """Exit status 1 with one line on what is wrong where a file or a value cannot be used."""
    parser = argparse.ArgumentParser(prog="tpf-train", description="Train the weights of the RGB-thermal tracker TPF.")
    commands = parser.add_subparsers(dest="command", required=True)
    for name, module in COMMANDS.items():
        summary = module.__doc__.splitlines()[0]
        module.add_arguments(commands.add_parser(name, help=summary, description=module.__doc__))
    args, rest = parser.parse_known_args(arguments)
    # argparse takes key=value only in one row: here some stand behind an option.
    if not hasattr(args, "overrides") or any(text.startswith("-") for text in rest):
        parser.parse_args(arguments)
    else:
        args.overrides += rest
    try:
        COMMANDS[args.command].run(args)
    except (ConfigError, DatasetError, EvaluationError, ExpertError, WeightsError, FileExistsError) as error:
        sys.exit(f"tpf-train {args.command}: {error}")


if __name__ == "__main__":
    main()
