"""`tpf track`: track a target in files, without ROS."""

import argparse
import os
from collections import Counter
from pathlib import Path

from tpf_model.boxes import Box
from tpf_ros.boxes_csv import BoxRow
from tpf_ros.command_error import CommandError
from tpf_ros.ground_truth import compare, read_ground_truth
from tpf_ros.parameter_file import read_parameter_file
from tpf_ros.sources import ACCEPTED, open_source, split_topic
from tpf_ros.video_writer import SUFFIXES


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Track one target in images of any kind and write its boxes. Needs no ROS. To judge the tracker on rosbags, "
        "with scores, latency and a report, use `tpf replay`."
    )
    inputs = parser.add_argument_group("input (rosbags are paired by stamp, all else by number)")
    inputs.add_argument("--visible", required=True, metavar="PATH", help=ACCEPTED)
    inputs.add_argument("--thermal", required=True, metavar="PATH", help="the same; may be 16 bit")
    inputs.add_argument("--init", type=_box, metavar="X,Y,W,H", help="the target in the first frame, visible pixels")
    inputs.add_argument("--start", type=_index, default=0, metavar="N", help="the first frame, from 0 (default: 0)")
    inputs.add_argument("--end", type=_index, metavar="N", help="the last frame (default: the last there is)")
    inputs.add_argument(
        "--gt",
        metavar="CSV",
        help="true boxes, 'frame,x,y,w,h,visible': print the overlap with them; without --init, the first of them from "
        "--start on is the initial box",
    )
    inputs.add_argument("--fps", type=_rate, default=30.0, help="frames a second of a folder of frames (default: 30)")
    model = parser.add_argument_group("model")
    model.add_argument("--params-file", metavar="YAML", help="the node's parameters: model, sync, registration, ...")
    model.add_argument("--model", help="model variant, see `tpf info` (default: auto)")
    model.add_argument("--weights", metavar="FILE", help="weights instead of those that ship; 'random': untrained")
    model.add_argument("--device", help="auto, cpu, cuda or cuda:N (default: auto)")
    outputs = parser.add_argument_group("output (existing files are replaced)")
    outputs.add_argument("--out", required=True, metavar="CSV", help="boxes: frame,stamp,x,y,w,h,score,state")
    outputs.add_argument("--video", metavar="FILE", help="annotated video, visible beside thermal")
    outputs.add_argument("--fused", metavar="FILE", help="video of the whole frames fused, which costs time")


def run(args: argparse.Namespace) -> int:
    try:
        tracker, truth = _prepare(args)
    except (ValueError, OSError) as error:  # every one of them is about what the user gave, and names it
        raise CommandError(str(error)) from error

    from tpf_ros.track_to_files import track_to_files  # not above, as in `_prepare`

    tracked = track_to_files(tracker, args.out, args.video, args.fused)
    rows, missing = tracked.rows, tracked.missing
    print(f"{_summary(rows, missing)} -> {args.out}")
    if missing["thermal"] > len(rows) / 2 and (hint := tracker.offset_hint()):
        print(hint)
    if truth:
        print(_overlap(rows, truth))
    return 0


def _prepare(args: argparse.Namespace):
    """The tracker, ready to run, and the true boxes. What is quick to check comes first."""
    _check_outputs(args)
    truth = read_ground_truth(args.gt) if args.gt else {}
    start, box = _initial(args, truth)
    visible, thermal = open_source(args.visible, "visible", args.fps), open_source(args.thermal, "thermal", args.fps)
    values = read_parameter_file(args.params_file) if args.params_file else {}
    given = {name: getattr(args, name) for name in ("model", "weights", "device") if getattr(args, name) is not None}

    # Not above: they import PyTorch, which takes seconds.
    from tpf_ros.offline import OfflineTracker
    from tpf_ros.parameters import Settings

    return OfflineTracker(visible, thermal, Settings.from_values(values | given), box, start, args.end), truth


def _check_outputs(args: argparse.Namespace) -> None:
    """Find out before any work whether the results can be written, and would not overwrite each other or the input."""
    inputs = [split_topic(path)[0] for path in (args.visible, args.thermal)]
    inputs += [Path(path) for path in (args.gt, args.params_file, args.weights) if path]
    taken = {path.resolve(): "an input" for path in inputs}
    for option in ("out", "video", "fused"):
        if getattr(args, option) is None:
            continue
        path = Path(getattr(args, option))
        if not path.parent.is_dir():
            raise ValueError(f"--{option} {path}: the folder {path.parent} does not exist")
        if path.is_dir() or not os.access(path if path.exists() else path.parent, os.W_OK):
            raise ValueError(f"--{option} {path} cannot be written")
        if path.resolve() in taken:
            raise ValueError(f"--{option} {path} is {taken[path.resolve()]} too")
        if option != "out" and path.suffix.lower() not in SUFFIXES:
            raise ValueError(f"--{option} {path} must end in one of {', '.join(SUFFIXES)}")
        taken[path.resolve()] = f"--{option}"


def _initial(args: argparse.Namespace, truth: dict[int, Box]) -> tuple[int, Box]:
    """The first frame's number and the box on it."""
    if args.end is not None and args.end < args.start:
        raise ValueError(f"--end {args.end} is before --start {args.start}")
    if args.init is not None:
        return args.start, args.init
    if args.gt is None:
        raise ValueError("--init x,y,w,h is needed, or --gt to start from a true box")
    later = [frame for frame in truth if frame >= args.start]
    if not later:
        raise ValueError(f"--gt {args.gt} has no visible box from frame {args.start} on")
    return min(later), truth[min(later)]


def _summary(rows: list[BoxRow], missing: Counter) -> str:
    states = Counter(row.state for row in rows)
    counts = [f"{count} {state}" for state, count in states.items()]
    counts += [f"{count} without a usable {camera} image" for camera, count in sorted(missing.items())]
    return f"{len(rows)} frames: {', '.join(counts)}"


def _overlap(rows: list[BoxRow], truth: dict[int, Box]) -> str:
    overlap = compare(rows, truth)
    if overlap is None:
        return "overlap: the target is visible in none of these frames"
    return (
        f"overlap with the true boxes in {overlap.frames} frames: mean IoU {overlap.mean_iou:.3f}, "
        f"IoU > 0.5 in {overlap.success:.1%}"
    )


def _box(text: str) -> Box:
    try:
        x, y, w, h = map(float, text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} must be four numbers, x,y,w,h") from None
    return x, y, w, h


def _index(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} must be the number of a frame, 0 or more")
    return int(text)


def _rate(text: str) -> float:
    try:
        if 0 < float(text) < 1e6:
            return float(text)
    except ValueError:
        pass
    raise argparse.ArgumentTypeError(f"{text!r} must be a number of frames a second, > 0")
