"""What the commands that run a phase have in common."""

import argparse

import torch

SMOKE = ("run.epochs=2", "run.batch=2", "run.workers=0", "run.log_every=1")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("config", help="a YAML file, or the name of a configuration that ships")
    parser.add_argument("overrides", nargs="*", metavar="key=value", help="changes a key of it, as in data.root=DATA")
    parser.add_argument("--resume", action="store_true", help="go on from the last checkpoint in run.folder")
    parser.add_argument("--devices", help="GPUs or processes of each node: a number, or auto")
    parser.add_argument("--nodes", type=int, help="machines")
    smoke = "four steps of two samples, on one device unless --devices or --nodes says more: does all of it run?"
    parser.add_argument("--smoke", action="store_true", help=smoke)


def overrides(args: argparse.Namespace) -> list[str]:
    """The overrides of the configuration that `args` stands for, the most specific last."""
    shortcuts = [f"run.{name}={value}" for name in ("devices", "nodes") if (value := getattr(args, name)) is not None]
    return [*(_smoke(args.devices or "1", args.nodes or 1) if args.smoke else ()), *shortcuts, *args.overrides]


def _smoke(devices: str, nodes: int) -> list[str]:
    """A short run, in which every device has two steps an epoch, or more where `devices` does not say how many."""
    each = int(devices) if devices.isdecimal() else torch.cuda.device_count()
    samples = 4 * max(1, each * nodes)
    return [*SMOKE, "run.devices=1", "run.nodes=1", f"run.samples_per_epoch={samples}"]
