"""`tpf replay BAG ...`: judge the tracker on rosbags, live through the node over DDS or offline, with a report."""

import argparse
import json
import math
import sys
from itertools import chain, count
from pathlib import Path

from tpf_model.boxes import Box
from tpf_ros.bag_boxes import find_boxes_topic, read_bag_boxes
from tpf_ros.bag_writer import BOXES_TOPIC
from tpf_ros.command_error import INTERRUPTED, CommandError
from tpf_ros.ground_truth import read_ground_truth, visible_boxes
from tpf_ros.output_folder import empty_folder, make_folder
from tpf_ros.parameter_file import read_parameter_file, read_value
from tpf_ros.recording import Plan, Recording
from tpf_ros.replay_summary import Outcome, write_summary
from tpf_ros.sources.bag import ROS_1, SUFFIXES, BagSource, bag_files

LIVE = {"rate": 1.0, "loop": 1, "duration": 0.0, "namespace": "/"}  # options of a live replay alone
MAX_RATE = 2.0  # of stamps over time, at which the node catches up with a new target; it would stay behind faster ones


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Judge the tracker on rosbags: boxes, latency, states and, where the bag or a CSV file has true boxes, scores. "
        "Live (default), the bag is played to the node over DDS in real time, and what is too much for it is dropped "
        "and counted. With --offline every pair is tracked without ROS, each time with the same boxes. To track in "
        "videos or folders, or without a report, use `tpf track`."
    )
    parser.add_argument(
        "bag",
        type=Path,
        nargs="+",
        help="rosbag2 folder, .mcap or .db3 file (offline also .bag); of several, each gets a folder in --out",
    )
    parser.add_argument("--offline", action="store_true", help="no DDS, every pair, the same boxes each time")
    parser.add_argument("--visible", metavar="TOPIC", help="default: /visible/image, or the only one that fits")
    parser.add_argument("--thermal", metavar="TOPIC", help="default: /thermal/image, or the only one that fits")
    parser.add_argument(
        "--init",
        metavar="X,Y,W,H[@FRAME]",
        help="the target in the visible image, and the frame's number; default: the first true box",
    )
    parser.add_argument(
        "--gt",
        type=Path,
        metavar="CSV",
        help="true boxes, frame,x,y,w,h,visible; for several bags a folder with BAG.csv; default: those in the bag",
    )
    parser.add_argument("--gt-topic", metavar="TOPIC", help="true boxes in the bag; default: /ground_truth, if there")
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
    live = parser.add_argument_group("live only")
    live.add_argument("--namespace", default=LIVE["namespace"], help="of the node; default: %(default)s")
    live.add_argument("--rate", type=float, default=LIVE["rate"], help="speed, up to 2; default: %(default)s")
    live.add_argument(
        "--loop",
        type=int,
        default=LIVE["loop"],
        metavar="N",
        help="passes over the bag, 0 = until --duration; default: 1",
    )
    live.add_argument(
        "--duration", type=float, default=LIVE["duration"], metavar="S", help="stop after so many seconds"
    )


def run(args: argparse.Namespace) -> int:
    _check_arguments(args)
    if len(args.bag) == 1:
        print(_replay_bag(args, args.bag[0], args.out, args.gt))
        return 0
    make_folder(args.out)
    outcomes: list[Outcome] = []
    try:
        for bag, out in _folders(args.bag, args.out).items():
            print(f"{len(outcomes) + 1}/{len(args.bag)} {bag}", file=sys.stderr, flush=True)
            outcomes.append(_outcome(args, bag, out))
    finally:  # of those before Ctrl-C, too
        if outcomes:
            print(write_summary(args.out, outcomes, args.offline))
    return 1 if any(outcome.error for outcome in outcomes) else 0


def _folders(bags: list[Path], out: Path) -> dict[Path, Path]:
    """The folder in `out` of each bag, by its name; of bags of one name the second's ends in _2."""
    folders: dict[Path, Path] = {}
    for bag in bags:
        path = bag.resolve()
        name = path.stem if path.suffix in SUFFIXES else path.name
        names = chain([name], (f"{name}_{number}" for number in count(2)))
        folders[bag] = next(out / one for one in names if out / one not in folders.values())
    return folders


def _outcome(args: argparse.Namespace, bag: Path, out: Path) -> Outcome:
    try:
        _replay_bag(args, bag, out, args.gt and args.gt / f"{out.name}.csv")
    except CommandError as error:
        if error.code == INTERRUPTED:
            raise
        print(f"tpf replay: {bag}: {error}", file=sys.stderr, flush=True)
        return Outcome(bag, out, None, str(error))
    return Outcome(bag, out, json.loads((out / "summary.json").read_text()))


def _replay_bag(args: argparse.Namespace, bag: Path, out: Path, gt: Path | None) -> str:
    """Replay one bag and write its report to `out`; returns the report's text."""
    plan, truth = _plan(args, bag, out, gt)
    try:
        return _report(args, plan, truth)
    except (ValueError, OSError, RuntimeError) as error:  # of a damaged bag, a full disk, the model's device, DDS
        raise CommandError(str(error), code=1) from error


def _report(args: argparse.Namespace, plan: Plan, truth: dict[int, Box]) -> str:
    if args.offline:
        from tpf_ros.offline_replay import run_offline  # not above: PyTorch and Matplotlib take seconds to import

        recording = run_offline(plan, truth, args.video)
    else:
        recording = replay(plan)

    from tpf_ros.report import write_report

    text = write_report(recording, truth)
    if args.video and not args.offline:
        from tpf_ros.annotated_video import write_annotated_video

        write_annotated_video(plan.out / "annotated.mp4", recording, truth)
    return text


def _plan(args: argparse.Namespace, bag: Path, out: Path, gt: Path | None) -> tuple[Plan, dict[int, Box]]:
    """What to do, and the true boxes by frame. CommandError for all that can be found out before anything starts."""
    if not bag.exists():
        raise CommandError(f"{bag} does not exist")
    try:
        visible, thermal = BagSource(bag, args.visible, "visible"), BagSource(bag, args.thermal, "thermal")
        truth = read_ground_truth(gt) if gt else _truth_in_bag(args, bag, visible)
    except ValueError as error:
        raise CommandError(str(error)) from error
    if visible.topic == thermal.topic:
        raise CommandError(f"--visible and --thermal are both {visible.topic}; each needs its own topic")
    for frame, (_, _, w, h) in truth.items():
        if min(w, h) <= 0:
            raise CommandError(f"the true box of frame {frame} is {w:g}x{h:g}, must be > 0 where it is visible")
    box, frame = _target(args, truth)
    last = args.first_frame + visible.count - 1
    if not args.first_frame <= frame <= last:
        raise CommandError(f"the initial frame {frame} is not in the bag, which has {args.first_frame}..{last}")
    plan = Plan(
        bag=bag,
        visible=visible.topic,
        thermal=thermal.topic,
        init_box=box,
        init_frame=frame,
        out=out,
        first_frame=args.first_frame,
        namespace="/" + args.namespace.strip("/"),
        params_file=args.params_file,
        parameters={**({"model": args.model} if args.model else {}), **parse_parameters(args.param)},
        rate=args.rate,
        passes=args.loop,
        duration=args.duration,
        offline=args.offline,
    )
    return plan, truth


def _truth_in_bag(args: argparse.Namespace, bag: Path, visible: BagSource) -> dict[int, Box]:
    topic = find_boxes_topic(bag, args.gt_topic)
    if topic is None:
        return {}
    boxes = visible_boxes(read_bag_boxes(bag, topic, visible.rising_stamps()))
    return {args.first_frame + frame: box for frame, box in boxes.items()}


def _target(args: argparse.Namespace, truth: dict[int, Box]) -> tuple[Box, int]:
    """The initial box and its frame."""
    if args.init:
        box, frame = parse_init(args.init)
        return box, args.first_frame if frame is None else frame
    for frame in sorted(truth):
        if frame >= args.first_frame:
            return truth[frame], frame
    raise CommandError(
        "give --init x,y,w,h[@frame], or true boxes with one at or after --first-frame: --gt, or a topic in the bag, "
        f"{BOXES_TOPIC} or --gt-topic"
    )


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
        try:
            read_value(text.split(":=", 1)[1])
        except ValueError as error:
            raise CommandError(f"--param {text!r}: {error}") from error
    return dict(text.split(":=", 1) for text in texts or [])


def _check_arguments(args: argparse.Namespace) -> None:
    """What concerns all bags, before any of them."""
    for path in (args.params_file, args.gt):
        if path is not None and not path.exists():
            raise CommandError(f"{path} does not exist")
    if args.gt and args.gt_topic:
        raise CommandError("--gt and --gt-topic: true boxes come from a file or from a topic, not from both")
    if len(args.bag) > 1 and args.gt and not args.gt.is_dir():
        raise CommandError(f"--gt {args.gt} must be a folder, of one BAG.csv for each of the {len(args.bag)} bags")
    if len(set(args.bag)) < len(args.bag):
        raise CommandError("a bag is given twice")
    if args.offline and (given := [f"--{name}" for name, default in LIVE.items() if getattr(args, name) != default]):
        raise CommandError(f"{', '.join(given)} cannot be given with --offline")
    check_rate(args.rate)
    if args.loop < 0 or not 0 <= args.duration < math.inf or (args.loop == 0 and args.duration == 0):
        raise CommandError("--loop must be >= 1, or 0 with a --duration in s > 0")
    if args.init:
        parse_init(args.init)
    parse_parameters(args.param)
    try:
        if args.params_file:  # it is the node's to read: here only whether it can
            read_parameter_file(args.params_file)
    except ValueError as error:
        raise CommandError(str(error)) from error


def check_rate(rate: float) -> None:
    if not 0 < rate <= MAX_RATE:
        raise CommandError(f"--rate is {rate:g}, must be > 0 and at most {MAX_RATE:g}")


def replay(plan: Plan) -> Recording:
    """Play the bag to the node; CommandError when a process or the initialisation fails."""
    from tpf_ros.child_process import ChildFailed  # only here: the verb's --help and --offline need no ROS
    from tpf_ros.live_replay import check_namespace, run_replay

    check_namespace(plan.namespace)
    if any(file.suffix == ROS_1 for file in bag_files(plan.bag)):
        raise CommandError(f"{plan.bag} is a bag of ROS 1, which is replayed with --offline only")
    empty_folder(plan.out)
    try:
        return run_replay(plan)
    except ChildFailed as error:
        raise CommandError(str(error), code=1) from error
