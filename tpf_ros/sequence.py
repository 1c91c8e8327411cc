"""A sequence of a data set in a folder: its two sources, its stamps and its true boxes, found by the layout's names."""

from dataclasses import dataclass
from pathlib import Path

from tpf_ros.box_lines import read_box_lines
from tpf_ros.boxes_csv import read_lines
from tpf_ros.ground_truth import HEADER, TrueBox, read_true_boxes
from tpf_ros.sources import Source, SourceError, open_source
from tpf_ros.sources.pairing import check_pairs

STAMPS = "stamps.csv"
STAMPS_HEADER = "frame,visible,thermal"
VIDEOS = (".mp4", ".mkv", ".mov", ".avi")


@dataclass(frozen=True)
class Layout:
    """The names in a sequence's folder.

    visible, thermal: folders of images, or videos without their suffix. boxes: text files, see `read_box_lines` for
    corners and every; the first there is counts. Empty: the only CSV file. thermal_boxes: of the thermal images.
    """

    visible: str
    thermal: str
    boxes: tuple[str, ...] = ()
    thermal_boxes: str = ""
    corners: bool = False
    every: int = 1


OURS = Layout("visible", "thermal")
LAYOUTS = (
    OURS,
    Layout("visible", "infrared", ("init.txt", "visible.txt"), "infrared.txt"),  # LasHeR, RGBT234, RGBT210
    Layout("v", "i", ("groundTruth_v.txt",), "groundTruth_i.txt", corners=True),  # GTOT
    Layout("rgb", "ir", ("rgb.txt",), "ir.txt", every=10),  # VTUAV
)


@dataclass(frozen=True)
class Sequence:
    """stamps: (visible, thermal) in ns of each frame; None where no file has them. boxes: in visible pixels, if any.

    left_out: the thermal images' own boxes, where there are such.
    """

    visible: Source
    thermal: Source
    stamps: list[tuple[int, int]] | None
    boxes: list[TrueBox]
    left_out: Path | None


def read_sequence(
    folder: Path, visible: str | None = None, thermal: str | None = None, boxes: Path | None = None, rate: float = 30.0
) -> Sequence:
    """Open the sequence in `folder`.

    visible, thermal: names in the folder, of images or videos, where the layout is none of LAYOUTS. boxes: a box file,
    CSV or text, instead of the folder's own. rate: of images without stamps, frames a second. ValueError (SourceError
    among them) names the file at fault, and what would be accepted.
    """
    if not folder.is_dir():
        raise SourceError(f"{folder} is neither a rosbag nor the folder of a sequence")
    if (visible is None) != (thermal is None):
        raise SourceError("--visible and --thermal name both inputs, or neither")
    layout = _find_layout(folder) if visible is None else Layout(visible, thermal)
    paths = _path(folder, layout.visible), _path(folder, layout.thermal)
    sources = [open_source(str(path), modality, rate) for path, modality in zip(paths, ("visible", "thermal"))]
    check_pairs(*sources)
    count = sources[0].count
    file = boxes or _box_file(folder, layout)
    stamps = folder / STAMPS
    thermal_boxes = folder / layout.thermal_boxes
    return Sequence(
        *sources,
        _read_stamps(stamps, count) if stamps.exists() else None,
        read_sequence_boxes(file, count, layout) if file else [],
        thermal_boxes if thermal_boxes.is_file() else None,
    )


def read_sequence_boxes(file: Path, count: int, layout: Layout = OURS) -> list[TrueBox]:
    """The boxes of a CSV file, or of a text file as the layout has it, of `count` frames; ValueError names the file."""
    if file.suffix != ".csv":
        boxes = read_box_lines(file, layout.corners, layout.every)
        needed = -(-count // layout.every)
        if len(boxes) != needed:
            each = f", one every {layout.every}th frame" if layout.every > 1 else ""
            raise ValueError(f"{file} has {len(boxes)} boxes, {count} frames need {needed}{each}")
        return boxes
    boxes = read_true_boxes(file)
    frames = [true.frame for true in boxes]
    if not frames or frames[0] < 0 or any(later <= frame for frame, later in zip(frames, frames[1:])):
        raise ValueError(f"{file} needs at least one box, with rising frame numbers from 0, under {HEADER!r}")
    if frames[-1] >= count:
        raise ValueError(f"{file} has a box for frame {frames[-1]}, the last of {count} frames is {count - 1}")
    return boxes


def _find_layout(folder: Path) -> Layout:
    for layout in LAYOUTS:
        if _path(folder, layout.visible).exists() and _path(folder, layout.thermal).exists():
            return layout
    there = ", ".join(sorted(path.name for path in folder.iterdir())) or "nothing"
    expected = "; ".join(f"{layout.visible}, {layout.thermal}" for layout in LAYOUTS)
    raise SourceError(
        f"{folder} holds no sequence: expected folders or videos named {expected}, or --visible and --thermal with "
        f"other names; it holds {there}"
    )


def _path(folder: Path, name: str) -> Path:
    """The folder or file of that name, or the video of that name with one of VIDEOS as its suffix."""
    videos = [folder / f"{name}{suffix}" for suffix in VIDEOS]
    return next((path for path in (folder / name, *videos) if path.exists()), folder / name)


def _box_file(folder: Path, layout: Layout) -> Path | None:
    found = [folder / name for name in layout.boxes if (folder / name).is_file()]
    if found:
        return found[0]
    found = sorted(path for path in folder.glob("*.csv") if path.name != STAMPS)
    if len(found) > 1:
        names = ", ".join(path.name for path in found)
        raise SourceError(f"{folder} has the boxes of several targets, {names}: choose one with --gt")
    return found[0] if found else None


def _read_stamps(file: Path, count: int) -> list[tuple[int, int]]:
    rows = read_lines(file, STAMPS_HEADER, lambda fields: tuple(map(int, fields)))
    if [frame for frame, _, _ in rows] != list(range(count)):
        raise ValueError(f"{file} needs one line for each frame, 0..{count - 1} in order; it has {len(rows)}")
    return [(visible, thermal) for _, visible, thermal in rows]
