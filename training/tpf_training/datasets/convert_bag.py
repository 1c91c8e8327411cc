"""A rosbag with a visible and a thermal camera to a clip in our folder format.

python -m tpf_training.datasets.convert_bag BAG --visible TOPIC --thermal TOPIC --out DATA/CLIP
"""

import argparse
import csv
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import cv2
import numpy as np

try:
    from rosbags.highlevel import AnyReader
    from rosbags.typesys import Stores, get_typestore
except ImportError as error:
    raise ImportError("converting rosbags needs the extra 'bags': pip install 'tpf_training[bags]'") from error

from tpf_model.crop import warp
from tpf_model.registration import Registration
from tpf_training.datasets.bag_images import thermal_image, visible_image
from tpf_training.datasets.box_file import COLUMNS, read_boxes
from tpf_training.datasets.folder import STAMPS
from tpf_training.datasets.pair_stamps import pair_stamps
from tpf_training.datasets.record import DatasetError

IMAGES = "sensor_msgs/msg/Image", "sensor_msgs/msg/CompressedImage"
DETECTIONS = "vision_msgs/msg/Detection2D", "vision_msgs/msg/Detection2DArray"
SUFFIXES = ".mcap", ".db3", ".bag"
FAST_PNG = [cv2.IMWRITE_PNG_COMPRESSION, 1]  # a tenth larger than the default, several times as fast


def bag_to_folder(
    bag: Path,
    visible_topic: str,
    thermal_topic: str,
    out: Path,
    boxes_topic: str | None = None,
    boxes_csv: Path | None = None,
    max_difference: float = 0.02,
    registration: Registration = Registration.identity(),
) -> int:
    """Write the pairs of images of `bag` to `out/visible` and `out/thermal` as PNG files; return how many there are.

    bag: a ROS 2 bag (a folder, .mcap or .db3) or a ROS 1 .bag. Topics of sensor_msgs Image or CompressedImage; 16-bit
    thermal counts stay as they are. Each visible image is paired with the nearest thermal one by header stamp, at most
    `max_difference` seconds away; what has no partner is left out. `out/stamps.csv` holds both stamps of each pair, ns.

    boxes_topic: vision_msgs Detection2D or Detection2DArray in the visible image; the one nearest to a pair by stamp
    becomes its line in `out/boxes.csv`, an array without detections says that the target is absent. boxes_csv: a box
    file for the pairs, which is checked and copied there instead.
    registration: from thermal to visible pixels; by default the same field of view. Thermal images that do not lie on
    the visible ones pixel by pixel are resampled so that they do.

    DatasetError names the bag, topic and message at fault; nothing is left in `out` then.
    """
    bag, out = Path(bag), Path(out)
    if boxes_topic and boxes_csv:
        raise ValueError("boxes come from a topic or from a file, not from both")
    if out.exists():
        raise DatasetError(f"{out}: is there already")
    part = out.with_name(f".{out.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    try:
        with _opened(bag) as reader:
            visible = _Topic(reader, bag, visible_topic, IMAGES)
            thermal = _Topic(reader, bag, thermal_topic, IMAGES)
            stamps = visible.stamps(), thermal.stamps()
            pairs = _pairs(visible, thermal, stamps, max_difference)
            size = _write_images(visible, pairs[:, 0], part / "visible", visible_image)
            aligned = partial(_aligned_thermal, registration=registration, size=size)
            _write_images(thermal, pairs[:, 1], part / "thermal", aligned)
            stamps = np.stack([stamps[0][pairs[:, 0]], stamps[1][pairs[:, 1]]], axis=1)
            _write_table(part / STAMPS, ["frame", "visible", "thermal"], enumerate(stamps.tolist()))
            if boxes_topic:
                _write_boxes(_Topic(reader, bag, boxes_topic, DETECTIONS), stamps[:, 0], part, max_difference)
        if boxes_csv:
            last = read_boxes(boxes_csv)[0][-1]
            if last >= len(pairs):
                raise DatasetError(f"{boxes_csv}: has a box for frame {last}, {bag} has {len(pairs)} pairs")
            shutil.copyfile(boxes_csv, part / "boxes.csv")
        part.rename(out)
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return len(pairs)


class _Topic:
    """The messages of one topic, in the order in which they were recorded."""

    def __init__(self, reader: AnyReader, bag: Path, topic: str, types: tuple[str, ...]):
        topic = "/" + topic.lstrip("/")
        self.name, self._reader = f"{bag}:{topic}", reader
        self._connections = [c for c in reader.connections if c.topic == topic and c.msgtype in types]
        if not self._connections:
            there = ", ".join(sorted({f"{c.topic} ({c.msgtype})" for c in reader.connections})) or "none"
            kinds = " or ".join(kind.rpartition("/")[2] for kind in types)
            raise DatasetError(f"{bag}: no topic {topic} of type {kinds}; topics in it: {there}")

    def __iter__(self) -> Iterator:
        try:
            for connection, _, raw in self._reader.messages(self._connections):
                yield self._reader.deserialize(raw, connection.msgtype)
        except Exception as error:  # whatever its decompressors and parsers raise where bytes are wrong
            raise DatasetError(f"{self.name}: cannot be read: {error!r}") from error

    def stamps(self) -> np.ndarray:
        """(N,) int64 ns of the headers; DatasetError where a message has none."""
        stamps = np.array([m.header.stamp.sec * 10**9 + m.header.stamp.nanosec for m in self], dtype=np.int64)
        if not len(stamps) or not stamps.all():
            lacking = f"message {np.flatnonzero(stamps == 0)[0]} has no stamp" if len(stamps) else "no messages"
            raise DatasetError(f"{self.name}: {lacking}")
        return stamps


@contextmanager
def _opened(bag: Path) -> Iterator[AnyReader]:
    files = [bag]
    if bag.is_dir() and not (bag / "metadata.yaml").is_file():  # its recorder was killed
        files = sorted(file for file in bag.iterdir() if file.suffix in SUFFIXES)
    try:
        reader = AnyReader(files, default_typestore=get_typestore(Stores.ROS2_HUMBLE))
        reader.open()
    except Exception as error:  # as in `_Topic`
        raise DatasetError(f"{bag}: not a rosbag that can be read: {error}") from error
    try:
        yield reader
    finally:
        reader.close()


def _pairs(
    visible: _Topic, thermal: _Topic, stamps: tuple[np.ndarray, np.ndarray], max_difference: float
) -> np.ndarray:
    pairs = pair_stamps(*stamps, round(max_difference * 1e9))
    if not len(pairs):
        closest = pair_stamps(*stamps, np.iinfo(np.int64).max)
        gap = np.abs(stamps[0][closest[:, 0]] - stamps[1][closest[:, 1]]).min() / 1e9
        raise DatasetError(
            f"{visible.name} and {thermal.name}: no images within {max_difference:g} s, the nearest are {gap:g} s apart"
        )
    return pairs


def _write_images(
    topic: _Topic, wanted: np.ndarray, folder: Path, decode: Callable[..., np.ndarray]
) -> tuple[int, int]:
    """Message `wanted[k]` as frame k; returns the frames' (width, height)."""
    folder.mkdir(parents=True)
    numbers, size = {int(message): number for number, message in enumerate(wanted)}, None
    for index, message in enumerate(topic):
        if index not in numbers:
            continue
        try:
            image = decode(message)
        except ValueError as error:
            raise DatasetError(f"{topic.name}: message {index}: {error}") from error
        size = size or image.shape[1::-1]
        if image.shape[1::-1] != size:
            w, h = image.shape[1::-1]
            raise DatasetError(f"{topic.name}: message {index} is {w}x{h}, the first is {size[0]}x{size[1]}")
        path = folder / f"{numbers[index]:06}.png"
        if not cv2.imwrite(str(path), image, FAST_PNG):
            raise DatasetError(f"{path}: cannot be written")
    return size


def _aligned_thermal(message, registration: Registration, size: tuple[int, int]) -> np.ndarray:
    thermal = thermal_image(message)
    matrix = registration.matrix(thermal.shape[1::-1], size)
    if thermal.shape[1::-1] == size and np.array_equal(matrix, np.eye(3)):
        return thermal
    return warp(thermal, np.linalg.inv(matrix), size)


def _write_boxes(topic: _Topic, stamps: np.ndarray, folder: Path, max_difference: float) -> None:
    detections = list(topic)
    pairs = pair_stamps(stamps, topic.stamps(), round(max_difference * 1e9))
    if not len(pairs):
        raise DatasetError(f"{topic.name}: no detection within {max_difference:g} s of a pair of images")
    rows = ((int(frame), _box(topic, int(index), detections[index])) for frame, index in pairs)
    _write_table(folder / "boxes.csv", COLUMNS, rows)


def _box(topic: _Topic, index: int, message) -> list:
    """x, y, w, h, visible."""
    found = getattr(message, "detections", [message])
    if len(found) > 1:
        raise DatasetError(f"{topic.name}: message {index} holds {len(found)} detections, needs one target or none")
    if not found:
        return [0, 0, 0, 0, 0]
    box = found[0].bbox
    centre = getattr(box.center, "position", box.center)  # a Pose2D before Humble
    w, h = box.size_x, box.size_y
    return [*(round(float(v), 3) for v in (centre.x - w / 2, centre.y - h / 2, w, h)), 1]


def _write_table(path: Path, header: list[str], rows) -> None:
    with open(path, "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(header)
        writer.writerows([first, *rest] for first, rest in rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bag", type=Path)
    parser.add_argument("--visible", required=True, metavar="TOPIC")
    parser.add_argument("--thermal", required=True, metavar="TOPIC")
    parser.add_argument("--out", type=Path, required=True, help="folder of the new clip")
    boxes = parser.add_mutually_exclusive_group()
    boxes.add_argument("--boxes-topic", metavar="TOPIC", help="Detection2D or Detection2DArray in visible pixels")
    boxes.add_argument("--boxes-csv", type=Path, metavar="FILE", help="box file for the pairs")
    parser.add_argument("--max-difference", type=float, default=0.02, help="seconds between the two of a pair")
    parser.add_argument(
        "--homography", type=float, nargs=9, metavar="H", help="thermal to visible pixels; default: the same view"
    )
    args = parser.parse_args()
    try:
        registration = Registration.homography(args.homography) if args.homography else Registration.identity()
        options = args.boxes_topic, args.boxes_csv, args.max_difference, registration
        count = bag_to_folder(args.bag, args.visible, args.thermal, args.out, *options)
    except ValueError as error:
        sys.exit(f"error: {error}")
    print(f"{args.out}: {count} pairs")


if __name__ == "__main__":
    main()
