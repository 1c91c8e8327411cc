"""What the commands that run a phase have in common."""

import argparse

SMOKE = ("run.epochs=2", "run.samples_per_epoch=4", "run.batch=2", "run.workers=0", "run.log_every=1")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("config", help="a YAML file, or the name of a configuration that ships")
    parser.add_argument("overrides", nargs="*", metavar="key=value", help="changes a key of it, as in data.root=DATA")
    parser.add_argument("--resume", action="store_true", help="go on from the last checkpoint in run.folder")
    parser.add_argument("--devices", help="GPUs or processes of each node: a number, or auto")
    parser.add_argument("--nodes", help="machines")
    parser.add_argument("--smoke", action="store_true", help="four steps of two samples, to see whether all of it runs")


def overrides(args: argparse.Namespace) -> list[str]:
    """The overrides of the configuration that `args` stands for, the most specific last."""
    shortcuts = [f"run.{name}={value}" for name in ("devices", "nodes") if (value := getattr(args, name)) is not None]
    return [*(SMOKE if args.smoke else ()), *shortcuts, *args.overrides]
