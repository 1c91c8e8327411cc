"""A clip whose frames stay in their files."""

import numpy as np

from tpf_training.datasets.clip_boxes import INSIDE, clip_boxes
from tpf_training.datasets.image_file import read_image
from tpf_training.datasets.image_folder import Listing
from tpf_training.datasets.image_sequence import ImageSequence, file_names
from tpf_training.datasets.record import Clip, DatasetError


def clip_of_frames(
    name: str,
    visible: Listing | None,
    thermal: Listing | None,
    frames: np.ndarray,
    boxes: np.ndarray,
    thermal_boxes: np.ndarray | None = None,
) -> Clip:
    """The clip of `frames` (N,), positions in the listings, without those that `boxes` (N, 4) say the target is not in.

    DatasetError as of `open_images`, and where no box is left.
    """
    images = open_images(visible, thermal)
    size = image_size(*images)
    boxes, inside = clip_boxes(boxes, size)
    kept = np.flatnonzero(inside >= INSIDE)
    if not len(kept):
        raise DatasetError(f"{name}: the target is never visible in the {size[0]}x{size[1]} images")
    frames = frames[kept]
    sequences = (None if sequence is None else sequence.take(frames) for sequence in images)
    return Clip(name, *sequences, boxes[kept], frames, None if thermal_boxes is None else thermal_boxes[kept])


def open_images(visible: Listing | None, thermal: Listing | None) -> tuple[ImageSequence | None, ImageSequence | None]:
    """All frames of the listings, of equal size.

    Decodes the first frame of each modality for its size. DatasetError where that fails or the modalities differ.
    """
    listings = {False: visible, True: thermal}
    sizes = {
        folder / names[0]: read_image(folder / names[0], grey).shape[1::-1]
        for grey, (folder, names) in ((grey, listing) for grey, listing in listings.items() if listing is not None)
    }
    if len(set(sizes.values())) > 1:
        raise DatasetError("sizes differ: " + ", ".join(f"{path} is {w}x{h}" for path, (w, h) in sizes.items()))
    size = next(iter(sizes.values()))
    return tuple(
        None if listing is None else ImageSequence(listing[0], file_names(listing[1]), size, grey)
        for grey, listing in listings.items()
    )


def image_size(visible: ImageSequence | None, thermal: ImageSequence | None) -> tuple[int, int]:
    """(width, height) of what `open_images` gives."""
    return (thermal if visible is None else visible).shape[2:0:-1]
