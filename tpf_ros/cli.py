"""The command `tpf`: one verb a module, which has `add_arguments(parser)` and `run(args) -> exit status`."""

import argparse
import importlib
import os
import re
import signal
import sys

from tpf_ros.command_error import INTERRUPTED, CommandError

# A verb's module is imported only when the verb is asked for: `tpf --help` is instant, and `tpf track` needs no ROS.
VERBS = {
    "track": "track one target in images of any kind, boxes out: videos, folders of frames, rosbags (needs no ROS)",
    "info": "describe a model: parameters, sizes, runtime, where its weights come from (needs no ROS)",
    "export": "write a model as an ONNX file or a TensorRT engine, checked on real frames (needs no ROS)",
    "replay": "judge rosbags: play them to the node over DDS, or --offline, and report boxes, latency and scores",
    "convert": "turn a sequence of a data set into a rosbag and back, stamps and boxes kept (needs no ROS)",
    "bench": "measure speed, memory and exactness here, against what is wanted (needs no ROS)",
    "demo": "the whole path on the clip that ships: bag, node, replay, report",
}
TERMINATED = 143  # the shell's exit status for SIGTERM


def main(arguments: list[str] | None = None) -> int:
    """Run `tpf`; returns the exit status: 0 done, 1 failed, 2 unusable arguments or input, 130 interrupted."""
    arguments = sys.argv[1:] if arguments is None else arguments
    args = _parser(_chosen(arguments)).parse_args(_join_boxes(arguments))
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(TERMINATED))  # so that files are closed on the way out
    try:
        status = args.run(args)
        sys.stdout.flush()
        return status
    except BrokenPipeError:  # whoever reads the output, `head` for instance, has enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or Python would complain on the way out
        return 0
    except CommandError as error:
        print(f"tpf {args.verb}: {error}", file=sys.stderr)
        return error.code
    except KeyboardInterrupt:
        print(f"tpf {args.verb}: interrupted", file=sys.stderr)
        return INTERRUPTED


def _chosen(arguments: list[str]) -> str | None:
    return arguments[0] if arguments and arguments[0] in VERBS else None


def _join_boxes(arguments: list[str]) -> list[str]:
    """`--init -5,10,20,20` as `--init=-5,10,20,20`: argparse takes what begins with a minus for an option."""
    joined: list[str] = []
    for argument in arguments:
        if joined and joined[-1] == "--init" and re.match(r"-[0-9.]", argument):
            joined[-1] += f"={argument}"
        else:
            joined.append(argument)
    return joined


def _parser(chosen: str | None) -> argparse.ArgumentParser:
    """The parser, with the arguments of the `chosen` verb only."""
    parser = argparse.ArgumentParser(prog="tpf", description="Track one target in visible and thermal video.")
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", required=True)
    for verb, description in VERBS.items():
        sentence = f"{description[0].upper()}{description[1:]}."
        verb_parser = verbs.add_parser(verb, help=description, description=sentence)
        if verb == chosen:
            module = importlib.import_module(f"tpf_ros.{verb}")
            module.add_arguments(verb_parser)
            verb_parser.set_defaults(run=module.run)
    return parser


if __name__ == "__main__":
    sys.exit(main())
