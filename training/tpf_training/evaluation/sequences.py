"""The sequences of a data set, as one-pass evaluation takes them: all frames, from the first that shows the target.

Names have no folders in them, so that they can be those of result files: targets of a clip are `<clip>_<target>`, or
`<clip>` where its box file is `boxes.csv`.
"""

import dataclasses
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from tpf_training.datasets import gtot, lasher, rgbt210, rgbt234, vtuav
from tpf_training.datasets.benchmark_folder import Layout, check_count
from tpf_training.datasets.box_lines import read_box_lines
from tpf_training.datasets.find_sequences import sequence_folders
from tpf_training.datasets.folder import PARTS, find_targets, read_target
from tpf_training.datasets.frame_clip import image_size, open_images
from tpf_training.datasets.image_folder import list_pairs
from tpf_training.datasets.image_sequence import ImageSequence
from tpf_training.datasets.index import SequenceFiles
from tpf_training.datasets.record import DatasetError
from tpf_training.evaluation.clips import find_paired, labelled_span
from tpf_training.evaluation.degradation import MODALITIES
from tpf_training.evaluation.one_pass import Images, Sequence
from tpf_training.evaluation.parts import Parts
from tpf_training.evaluation.sequence_list import by_name, choose_sequences

LAYOUTS = {
    "lasher": lasher.LAYOUT,
    "rgbt234": rgbt234.LAYOUT,
    "rgbt210": rgbt210.LAYOUT,
    "gtot": gtot.LAYOUT,
    "vtuav": vtuav.LAYOUT,
}
FOLDER, CLIPS = "folder", "clips"
DATASETS = (*LAYOUTS, FOLDER, CLIPS)
Opener = Callable[[], Sequence]  # DatasetError names what is missing or damaged


@dataclass(frozen=True)
class FrameSequence(Parts):
    """A target in image files, a `Sequence` for `one_pass.py`."""

    name: str
    visible: ImageSequence | None
    thermal: ImageSequence | None
    boxes: np.ndarray
    present: np.ndarray

    @property
    def modalities(self) -> tuple[str, ...]:
        return tuple(name for name in MODALITIES if getattr(self, name) is not None)

    def part(self, frames: slice, name: str) -> "FrameSequence":
        used = np.arange(len(self.boxes))[frames]
        images = (None if images is None else images.take(used) for images in (self.visible, self.thermal))
        return FrameSequence(name, *images, self.boxes[frames], self.present[frames])

    def images(self) -> Iterator[Images]:
        for index in range(len(self.boxes)):
            yield tuple(None if frames is None else frames[index] for frames in (self.visible, self.thermal))


def find_openers(
    dataset: str, root: Path, tests: tuple[str, ...] = (), listed: str | None = None
) -> tuple[dict[str, Opener], str]:
    """By name, what opens each sequence that counts, and what chose them (see `choose_sequences`).

    dataset: one of DATASETS. root: as in training (`lasher` .. `folder`), also up to two levels above the sequences; of
    `clips` a clip or a folder of them (see `read_paired`). DatasetError where nothing is found.
    """
    if not root.is_dir():
        raise DatasetError(f"{root}: no such folder")
    if dataset in LAYOUTS:
        found = _benchmark(LAYOUTS[dataset], root)
    else:
        found = _folder(root) if dataset == FOLDER else _clips(root)
    return choose_sequences(by_name(found, root), root, tests, listed)


def _benchmark(layout: Layout, root: Path) -> list[tuple[str, Opener]]:
    folders = list(sequence_folders(root, (layout.visible, layout.thermal)))
    if not folders:
        raise DatasetError(f"{root}: no sequences, expected <sequence>/{layout.visible} and {layout.thermal}")
    return [(folder.name, partial(_open_benchmark, layout, folder)) for folder in folders]


def _open_benchmark(layout: Layout, folder: Path) -> FrameSequence:
    images = open_images(*list_pairs(folder / layout.visible, folder / layout.thermal))
    count, file = len(images[0]), folder / layout.boxes
    given = read_box_lines(file, layout.corners)
    if len(given) > 1:  # with the first box alone the sequence can be tracked, though not scored
        check_count(layout, file, len(given), folder / layout.visible, count)
    if count < 2 or not given[0].any():
        raise DatasetError(f"{file}: nothing to track: {count} frame(s), the first box is {given[0].tolist()}")
    boxes = np.zeros((count, 4))
    boxes[np.arange(len(given)) * layout.every] = given
    return FrameSequence(folder.name, *images, boxes, boxes.any(axis=1))


def _folder(root: Path) -> Iterator[tuple[str, Opener]]:
    folders = list(sequence_folders(root, PARTS))
    if not folders:
        raise DatasetError(f"{root}: no clips, expected <clip>/{{visible,thermal}}/ and <clip>/boxes.csv")
    for folder in folders:
        try:
            targets = find_targets(folder.name, folder)
        except DatasetError as error:
            yield folder.name, partial(_fail, error)
        else:
            for files in targets:
                name = _flat(files.name.removesuffix("/boxes"))
                yield name, partial(_open_folder, dataclasses.replace(files, name=name))


def _open_folder(files: SequenceFiles) -> FrameSequence:
    listings, *labels = read_target(files)
    images = open_images(*listings)
    first, boxes, present = labelled_span(files.boxes, image_size(*images), *labels)
    used = np.arange(first, first + len(boxes))
    images = (None if frames is None else frames.take(used) for frames in images)
    return FrameSequence(files.name, *images, boxes, present)


def read_folders(root: Path) -> list[FrameSequence]:
    """Every target of the clips in `root`, see `datasets/folder.py`; DatasetError names what is damaged."""
    openers, _ = find_openers(FOLDER, root)
    return [read() for read in openers.values()]


def _clips(root: Path) -> Iterator[tuple[str, Opener]]:
    for name, read in find_paired(root):
        name = _flat(name.removesuffix("/boxes"))
        yield name, partial(_renamed, name, read)


def _renamed(name: str, read: Opener) -> Sequence:
    return dataclasses.replace(read(), name=name)


def _fail(error: DatasetError) -> Sequence:
    raise error


def _flat(name: str) -> str:
    return name.replace("/", "_")
