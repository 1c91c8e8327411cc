"""`tpf replay BAG`: play a rosbag to the node in real time over DDS, and report boxes, latency and scores."""

import argparse
import math
from pathlib import Path

from tpf_model.boxes import Box
from tpf_ros.command_error import CommandError
from tpf_ros.ground_truth import read_ground_truth
from tpf_ros.parameter_file import read_parameter_file
from tpf_ros.recording import Plan, Recording
from tpf_ros.sources import SourceError
from tpf_ros.sources.bag import BagSource

OUTPUTS = ("annotated.mp4", "fused.mp4", "boxes.csv", "summary.json", "summary.txt", "timeline.png")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("bag", type=Path, help="rosbag2 folder, .mcap or .db3 file")
    parser.add_argument("--visible", default="/visible/image", metavar="TOPIC", help="default: %(default)s")
    parser.add_argument("--thermal", default="/thermal/image", metavar="TOPIC", help="default: %(default)s")
    parser.add_argument(
        "--init",
        metavar="X,Y,W,H[@FRAME]",
        help="the target in the visible image, and the frame's number; default: the first true box",
    )
    parser.add_argument("--gt", type=Path, metavar="CSV", help="true boxes: frame,x,y,w,h,visible")
    parser.add_argument(
        "--first-frame", type=int, default=0, metavar="N", help="number of the bag's first frame; default: 0"
    )
    parser.add_argument("--out", type=Path, default=Path("replay_output"), help="default: %(default)s")
    parser.add_argument("--model", help="default: the node's, or the parameter file's")
    parser.add_argument("--params-file", type=Path, help="the node's parameters, a ROS 2 YAML file")
    parser.add_argument(
        "--param", action="append", metavar="NAME:=VALUE", help="a parameter of the node; may be repeated"
    )
    parser.add_argument("--video", action="store_true", help="write annotated.mp4, of the first pass")
    parser.add_argument("--namespace", default="/", help="of the node; default: %(default)s")
    parser.add_argument("--rate", type=float, default=1.0, help="speed; default: %(default)s")
    parser.add_argument(
        "--loop", type=int, default=1, metavar="N", help="passes over the bag, 0 = until --duration; default: 1"
    )
    parser.add_argument("--duration", type=float, default=0.0, metavar="S", help="stop after so many seconds")


def run(args: argparse.Namespace) -> int:
    _check_arguments(args)
    truth = _read_files(args)
    box, frame = _target(args, truth)
    plan = Plan(
        bag=args.bag,
        visible="/" + args.visible.lstrip("/"),
        thermal="/" + args.thermal.lstrip("/"),
        init_box=box,
        init_frame=frame,
        out=args.out,
        first_frame=args.first_frame,
        namespace="/" + args.namespace.strip("/"),
        params_file=args.params_file,
        parameters={**({"model": args.model} if args.model else {}), **parse_parameters(args.param)},
        rate=args.rate,
        passes=args.loop,
        duration=args.duration,
    )
    recording = replay(plan)

    from tpf_ros.report import write_report  # not above: Matplotlib, and PyTorch below, take seconds to import

    text = write_report(recording, truth)
    if args.video:
        from tpf_ros.annotated_video import write_annotated_video

        write_annotated_video(args.out / "annotated.mp4", recording, truth)
    print(text)
    return 0


def _read_files(args: argparse.Namespace) -> dict[int, Box]:
    """The true boxes. The parameter file is the node's to read: here only whether it can, before anything starts."""
    try:
        if args.params_file:
            read_parameter_file(args.params_file)
        return read_ground_truth(args.gt) if args.gt else {}
    except ValueError as error:
        raise CommandError(str(error)) from error


def _target(args: argparse.Namespace, truth: dict[int, Box]) -> tuple[Box, int]:
    """The initial box and its frame."""
    if args.init:
        box, frame = parse_init(args.init)
        return box, args.first_frame if frame is None else frame
    for frame in sorted(truth):
        if frame >= args.first_frame:
            return truth[frame], frame
    raise CommandError("give --init x,y,w,h[@frame], or --gt with a true box at or after --first-frame")


def parse_init(text: str) -> tuple[Box, int | None]:
    """`x,y,w,h` or `x,y,w,h@frame`."""
    box, _, frame = text.partition("@")
    try:
        numbers = tuple(float(number) for number in box.split(","))
        if len(numbers) != 4 or not all(map(math.isfinite, numbers)) or min(numbers[2:]) <= 0:
            raise ValueError
        return numbers, int(frame) if frame else None
    except ValueError:
        raise CommandError(f"--init {text!r} must be x,y,w,h or x,y,w,h@frame, with w and h > 0") from None


def parse_parameters(texts: list[str] | None) -> dict[str, str]:
    """`name:=value` texts, as `ros2 run` takes them after -p."""
    for text in texts or []:
        if ":=" not in text:
            raise CommandError(f"--param {text!r} must be name:=value")
    return dict(text.split(":=", 1) for text in texts or [])


def _check_arguments(args: argparse.Namespace) -> None:
    for path in (args.bag, args.params_file, args.gt):
        if path is not None and not path.exists():
            raise CommandError(f"{path} does not exist")
    check_rate(args.rate)
    if args.loop < 0 or not 0 <= args.duration < math.inf or (args.loop == 0 and args.duration == 0):
        raise CommandError("--loop must be >= 1, or 0 with a --duration in s > 0")


def check_rate(rate: float) -> None:
    if not 0 < rate < math.inf:
        raise CommandError(f"--rate is {rate:g}, must be > 0 and finite")


def make_folder(out: Path) -> None:
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CommandError(f"--out {out} cannot be made a folder: {error.strerror}") from error


def replay(plan: Plan) -> Recording:
    """Run the replay; CommandError for a bag without the topics, or when a process or the initialisation fails."""
    if plan.visible == plan.thermal:
        raise CommandError(f"--visible and --thermal are both {plan.visible}; each needs its own topic")
    try:
        visible = BagSource(plan.bag, plan.visible, "visible")
        BagSource(plan.bag, plan.thermal, "thermal")
    except SourceError as error:
        raise CommandError(str(error)) from error
    last = plan.first_frame + visible.count - 1
    if not plan.first_frame <= plan.init_frame <= last:
        raise CommandError(
            f"the initial frame {plan.init_frame} is not in the bag, which has {plan.first_frame}..{last}"
        )
    # Imported only here: the verb's --help and the errors above need no ROS.
    from tpf_ros.child_process import ChildFailed
    from tpf_ros.live_replay import check_namespace, run_replay

    check_namespace(plan.namespace)
    make_folder(plan.out)
    for name in OUTPUTS:  # an earlier replay's, which would be taken for this one's if this one fails
        (plan.out / name).unlink(missing_ok=True)
    try:
        return run_replay(plan)
    except ChildFailed as error:
        raise CommandError(str(error), code=1) from error
