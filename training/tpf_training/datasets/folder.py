"""Our own format for anything else: `<clip>/{visible,thermal}/*` images, one or both, and `<clip>/<target>.csv`.

A box file's frame numbers count the images of a folder in the order of the numbers in their names, from 0. The n-th
visible and the n-th thermal image belong together and show the same field of view at the same size. A clip with one
target has a `boxes.csv`. `stamps.csv` is no box file: it holds the times of a clip cut from a rosbag.
"""

from pathlib import Path

import numpy as np

from tpf_training.datasets.box_file import read_boxes
from tpf_training.datasets.damage import tolerate
from tpf_training.datasets.find_sequences import find_sequences
from tpf_training.datasets.frame_clip import clip_of_frames
from tpf_training.datasets.image_folder import Listing, list_pairs
from tpf_training.datasets.index import SequenceFiles, index_file, read_indexed
from tpf_training.datasets.record import Clip, DatasetError
from tpf_training.datasets.splits import is_held_out

PARTS = "visible", "thermal"
STAMPS = "stamps.csv"


def read_folder(
    root: Path,
    split: Path | str | None = None,
    cache: Path | None = None,
    skipped: list[DatasetError] | None = None,
) -> list[Clip]:
    """Every clip and target under `root` that `split` takes (see `find_sequences`) and that is not held out.

    cache: folder for the index. skipped: None makes a damaged clip an error; a list takes the errors instead.
    """
    root, sequences = Path(root), []
    for name, folder in find_sequences(root, PARTS, split, skipped):
        if not is_held_out(folder.name):
            with tolerate(skipped):
                sequences += find_targets(name, folder)
    clips = read_indexed(sequences, _read, index_file(cache, "folder", root, split) if cache else None, skipped)
    if not clips:
        raise DatasetError(f"{root}: no clips to train on, expected <clip>/{{visible,thermal}}/ and <clip>/boxes.csv")
    return clips


def find_targets(name: str, folder: Path) -> list[SequenceFiles]:
    """One `<name>/<target>` for each box file of the clip in `folder`; DatasetError where there is none."""
    visible, thermal = (folder / part if (folder / part).is_dir() else None for part in PARTS)
    box_files = sorted(path for path in folder.glob("*.csv") if path.name != STAMPS)
    if not box_files:
        raise DatasetError(f"{folder}: no box file, expected boxes.csv or <target>.csv")
    return [SequenceFiles(f"{name}/{path.stem}", visible, thermal, path) for path in box_files]


def _read(files: SequenceFiles) -> Clip:
    listings, frames, boxes, present = read_target(files)
    return clip_of_frames(files.name, *listings, frames, np.where(present[:, None], boxes, np.float32(0)))


def read_target(
    files: SequenceFiles,
) -> tuple[tuple[Listing | None, Listing | None], np.ndarray, np.ndarray, np.ndarray]:
    """The images of both modalities, and the target's boxes as `read_boxes` gives them."""
    listings = list_pairs(files.visible, files.thermal)
    folder, names = next(listing for listing in listings if listing)
    count = len(names)
    frames, boxes, present = read_boxes(files.boxes)
    if frames[-1] >= count:
        raise DatasetError(f"{files.boxes}: has a box for frame {frames[-1]}, {folder} has {count} frames")
    return listings, frames, boxes, present
