"""`tpf demo`: the whole path on the clip that ships. Video -> rosbag -> DDS -> node -> report and videos."""

import argparse
import shutil
import sys
from pathlib import Path

from tpf_model.config import AUTO
from tpf_ros.bag_writer import Stream, write_bag
from tpf_ros.clip import CLIP
from tpf_ros.command_error import CommandError
from tpf_ros.ground_truth import read_ground_truth
from tpf_ros.output_folder import make_folder
from tpf_ros.recording import Plan
from tpf_ros.replay import check_rate, parse_parameters, replay
from tpf_ros.sources import SourceError, open_source

# A person whom smoke hides from the visible camera, among others of the same size. At frame 122 all of the person has
# come into the image, frame 430 is the last with a true box.
TARGET, FIRST, INIT, LAST = "B", 112, 122, 430
OUTPUTS = {
    "annotated.mp4": "visible and thermal with the true box and the estimate",
    "fused.mp4": "what the node published on ~/fused_image",
    "boxes.csv": "the estimates",
    "summary.txt": "latency, counts and scores (summary.json for programs)",
    "timeline.png": "IoU, confidence and latency over time",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--out", type=Path, default=Path("demo_output"), help="default: %(default)s")
    parser.add_argument("--model", default=AUTO, help="see the node's parameter; default: %(default)s")
    parser.add_argument(
        "--param", action="append", metavar="NAME:=VALUE", help="a parameter of the node; may be repeated"
    )
    parser.add_argument(
        "--clip", type=Path, default=CLIP, help="folder of the clip; default: the one in the source checkout"
    )
    parser.add_argument("--rate", type=float, default=1.0, help="speed of the replay, up to 2; default: %(default)s")
    parser.add_argument("--first", type=int, default=FIRST, help="first frame to play; default: %(default)s")
    parser.add_argument("--last", type=int, default=LAST, help="last frame to play; default: %(default)s")


def run(args: argparse.Namespace) -> int:
    truth = _read_truth(args)
    check_rate(args.rate)
    if args.first < 0:
        raise CommandError(f"--first is {args.first}, must be >= 0")
    init_frame = max(INIT, args.first)
    if init_frame not in truth or args.last <= init_frame:
        raise CommandError(
            f"--first {args.first} --last {args.last}: the target is to be seen in frames {INIT}..{LAST} only"
        )
    make_folder(args.out)
    plan = Plan(
        bag=args.out / "bag",
        visible="/visible/image",
        thermal="/thermal/image",
        init_box=truth[init_frame],
        init_frame=init_frame,
        out=args.out,
        first_frame=args.first,
        rate=args.rate,
        parameters={"model": args.model, **parse_parameters(args.param)},
    )
    _say("1/4 writing the clip to a rosbag")
    _write_bag(plan.bag, args)
    _say(f"2/4 starting the node and playing frames {args.first}..{args.last} to it")
    recording = replay(plan)

    from tpf_ros.annotated_video import write_annotated_video  # not above: PyTorch takes seconds to import
    from tpf_ros.report import write_report

    _say("3/4 writing the report")
    text = write_report(recording, truth)
    _say("4/4 drawing the annotated video")
    write_annotated_video(args.out / "annotated.mp4", recording, truth)
    print(text)
    print(f"\nIn {args.out}/:")
    for name, meaning in OUTPUTS.items():
        print(f"  {name:<14} {meaning}")
    return 0


def _read_truth(args: argparse.Namespace) -> dict:
    if not args.clip.is_dir():
        raise CommandError(
            f"clip {args.clip} does not exist: run from a source checkout, or give --clip its test/data/0117_1620"
        )
    try:
        return read_ground_truth(args.clip / f"{TARGET}.csv")
    except ValueError as error:
        raise CommandError(f"--clip {args.clip} is not the clip's folder: {error}") from error


def _write_bag(path: Path, args: argparse.Namespace) -> None:
    shutil.rmtree(path, ignore_errors=True)  # an earlier demo's
    try:
        streams = [
            Stream(open_source(str(args.clip / f"{name}.mp4"), name), f"/{name}/image", f"{name}_camera")
            for name in ("visible", "thermal")
        ]
        write_bag(path, streams, args.first, args.last)
    except SourceError as error:
        raise CommandError(str(error)) from error


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
