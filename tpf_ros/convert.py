"""`tpf convert`: a sequence of a data set to a rosbag and back, stamps and boxes kept exactly."""

import argparse
import math
import shutil
from pathlib import Path

from tpf_ros.command_error import CommandError

TO_BAG = ("fps", "storage", "jpeg")
TO_FOLDER = ("gt_topic", "max_difference", "thermal_offset", "align", "homography")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Convert a sequence of a data set to a rosbag2 that `tpf replay` judges without further arguments, or a rosbag "
        "to a sequence in a folder (visible/, thermal/, stamps.csv, boxes.csv). Needs no ROS."
    )
    parser.add_argument(
        "source",
        type=Path,
        help="a rosbag, or a folder: visible and thermal images or videos with a CSV file of boxes, or a sequence of "
        "LasHeR, RGBT234, RGBT210, GTOT or VTUAV",
    )
    parser.add_argument("out", type=Path, help="the bag or folder to make; must not exist")
    parser.add_argument(
        "--visible", metavar="NAME", help="topic of a bag; images or video in a folder of another layout"
    )
    parser.add_argument("--thermal", metavar="NAME", help="the same")
    parser.add_argument(
        "--gt",
        type=Path,
        metavar="FILE",
        help="true boxes instead of those in the source: CSV, frame,x,y,w,h,visible, or the benchmark's text; "
        "a frame is a visible image, whether it has a partner or not",
    )
    bag = parser.add_argument_group("making a bag")
    bag.add_argument("--storage", choices=("mcap", "sqlite3"), help="default: mcap")
    bag.add_argument(
        "--jpeg",
        type=int,
        nargs="?",
        const=90,
        metavar="QUALITY",
        help="compressed images (quality: 90); JPEG files are taken as they are, 16-bit thermal images stay raw",
    )
    bag.add_argument("--fps", type=float, help="of images without stamps.csv, frames a second; default: 30")
    folder = parser.add_argument_group("making a folder")
    folder.add_argument(
        "--gt-topic",
        metavar="TOPIC",
        help="true boxes: TrackedTarget, Detection2D or Detection2DArray; default: /ground_truth, if there",
    )
    folder.add_argument("--max-difference", type=float, metavar="S", help="between the two of a pair; default: 0.02")
    folder.add_argument(
        "--thermal-offset", type=float, metavar="S", help="added to thermal stamps for pairing; default: 0"
    )
    folder.add_argument(
        "--align",
        action="store_const",
        const=True,
        help="resample thermal images to lie on the visible ones, as training needs where sizes differ",
    )
    folder.add_argument(
        "--homography",
        type=float,
        nargs=9,
        metavar="H",
        help="from thermal to visible pixels, for --align; default: the same view",
    )


def run(args: argparse.Namespace) -> int:
    from tpf_ros.sources.bag import is_bag  # not above: rosbags and OpenCV take a while to import

    if not args.source.exists():
        raise CommandError(f"{args.source} does not exist")
    from_bag = is_bag(args.source)
    _check(args, from_bag)
    if args.out.exists():
        raise CommandError(f"{args.out} is there already")
    part = args.out.with_name(f".{args.out.name}.part")  # so that nothing half done is left, whatever happens
    shutil.rmtree(part, ignore_errors=True)
    try:
        part.mkdir(parents=True)
        made = part / args.out.name
        said = _to_folder(args, made) if from_bag else _to_bag(args, made)
        made.rename(args.out)
    except (ValueError, OSError) as error:  # about what the user gave, and names it
        raise CommandError(str(error)) from error
    finally:
        shutil.rmtree(part, ignore_errors=True)
    print(f"{said} -> {args.out}")
    return 0


def _check(args: argparse.Namespace, from_bag: bool) -> None:
    for name in TO_BAG if from_bag else TO_FOLDER:
        if getattr(args, name) is not None:
            made = "folder from a bag" if from_bag else "bag from a folder"
            raise CommandError(f"--{name.replace('_', '-')} has no meaning for a {made}")
    if args.gt and args.gt_topic:
        raise CommandError("--gt and --gt-topic: boxes come from a file or from a topic, not from both")
    if args.homography and not args.align:
        raise CommandError("--homography needs --align")
    if args.jpeg is not None and not 0 <= args.jpeg <= 100:
        raise CommandError(f"--jpeg is {args.jpeg}, must be 0..100")
    if args.fps is not None and not 0 < args.fps < math.inf:
        raise CommandError(f"--fps is {args.fps:g}, must be > 0")
    if args.max_difference is not None and not 0 <= args.max_difference < math.inf:
        raise CommandError(f"--max-difference is {args.max_difference:g} s, must be >= 0")
    if args.thermal_offset is not None and not math.isfinite(args.thermal_offset):
        raise CommandError(f"--thermal-offset is {args.thermal_offset:g} s, must be finite")


def _to_bag(args: argparse.Namespace, out: Path) -> str:
    from tpf_ros.bag_writer import Stream, write_bag
    from tpf_ros.sequence import read_sequence

    sequence = read_sequence(args.source, args.visible, args.thermal, args.gt, args.fps or 30.0)
    streams = [
        Stream(source, f"/{name}/image", f"{name}_camera", jpeg=args.jpeg)
        for name, source in (("visible", sequence.visible), ("thermal", sequence.thermal))
    ]
    storage = args.storage or "mcap"
    count = write_bag(out, streams, stamps=sequence.stamps, boxes=sequence.boxes, storage=storage)
    left_out = f"; {sequence.left_out}, the thermal images' own boxes, are left out" if sequence.left_out else ""
    return f"{count} pairs, {len(sequence.boxes)} boxes{left_out}"


def _to_folder(args: argparse.Namespace, out: Path) -> str:
    from tpf_model.registration import Registration
    from tpf_ros.folder_writer import write_folder

    registration = None
    if args.align:
        registration = Registration.homography(args.homography) if args.homography else Registration.identity()
    options = {"max_difference": args.max_difference, "thermal_offset": args.thermal_offset}
    given = {name: value for name, value in options.items() if value is not None}
    written = write_folder(
        out, args.source, args.visible, args.thermal, args.gt_topic, args.gt, registration=registration, **given
    )
    return (
        f"{written.pairs} pairs, {written.boxes} boxes; without a partner and left out: "
        f"{written.visible_left} visible, {written.thermal_left} thermal images"
    )
