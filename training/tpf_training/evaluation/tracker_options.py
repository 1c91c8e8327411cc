"""How our trackers run, as command-line options that several verbs share."""

import argparse

from tpf_model.runtime import RUNTIMES
from tpf_model.runtime.precision import PRECISIONS
from tpf_model.tracker import TrackerConfig


def add_tracker_options(group: argparse._ArgumentGroup) -> None:
    """How our trackers' options are called; see `tracker_settings` for what is made of them."""
    group.add_argument("--no-ndtu", action="store_true", help="never update our trackers' dynamic template")
    group.add_argument(
        "--template-interval",
        type=whole_number(1),
        default=TrackerConfig.template_interval,
        metavar="N",
        help="frames between two of its updates; published: 50, or 15 for short sequences (default: %(default)s)",
    )
    group.add_argument(
        "--published",
        action="store_true",
        help="our trackers by the paper's rule: each frame's box as the network has it, nothing learnt of the target",
    )
    group.add_argument("--runtime", choices=RUNTIMES, default="auto", help="of our trackers (default: %(default)s)")
    group.add_argument(
        "--precision",
        choices=("auto", *PRECISIONS, "int8"),
        default="auto",
        help="of our trackers, int8 with runtime onnx (default: what the device multiplies in natively)",
    )
    group.add_argument("--device", default="auto", help="of our trackers: auto, cpu, cuda, cuda:N (default: auto)")
    group.add_argument("--threads", type=whole_number(1), default=1, help="of each tracker (default: %(default)s)")


def tracker_settings(args: argparse.Namespace) -> dict:
    """What a `TPFEntrant` takes of the options of `add_tracker_options`."""
    names = "published", "template_interval", "runtime", "precision", "device", "threads"
    return {"ndtu": not args.no_ndtu, **{name: getattr(args, name) for name in names}}


def whole_number(least: int):
    """An argument's type: a whole number >= `least`."""

    def number(text: str) -> int:
        if not text.isdigit() or int(text) < least:
            raise argparse.ArgumentTypeError(f"{text!r} is no whole number >= {least}")
        return int(text)

    return number
