"""A clip whose frames stay in their files."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from tpf_training.datasets.clip_boxes import INSIDE, clip_boxes
from tpf_training.datasets.image_file import read_image
from tpf_training.datasets.image_sequence import ImageSequence, file_names
from tpf_training.datasets.record import Clip, DatasetError

Listing = tuple[Path, Sequence[str]]  # a folder and its images in the order of time


def clip_of_frames(
    name: str,
    visible: Listing | None,
    thermal: Listing | None,
    frames: np.ndarray,
    boxes: np.ndarray,
    thermal_boxes: np.ndarray | None = None,
) -> Clip:
    """The clip of `frames` (N,), positions in the listings, without those that `boxes` (N, 4) say the target is not in.

    Decodes the first frame of each modality for its size. DatasetError where that fails, the modalities differ in
    size, or no box is left.
    """
    listings = {False: visible, True: thermal}
    sizes = {
        folder / names[0]: read_image(folder / names[0], grey).shape[1::-1]
        for grey, (folder, names) in ((grey, listing) for grey, listing in listings.items() if listing is not None)
    }
    if len(set(sizes.values())) > 1:
        raise DatasetError("sizes differ: " + ", ".join(f"{path} is {w}x{h}" for path, (w, h) in sizes.items()))
    size = next(iter(sizes.values()))
    boxes, inside = clip_boxes(boxes, size)
    kept = np.flatnonzero(inside >= INSIDE)
    if not len(kept):
        raise DatasetError(f"{name}: the target is never visible in the {size[0]}x{size[1]} images")
    frames = frames[kept]
    sequences = (
        None if listing is None else ImageSequence(listing[0], file_names(listing[1][i] for i in frames), size, grey)
        for grey, listing in listings.items()
    )
    return Clip(name, *sequences, boxes[kept], frames, None if thermal_boxes is None else thermal_boxes[kept])
