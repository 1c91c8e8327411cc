"""Pairs of MAD from the sequences of a tracking benchmark: every so many frames one, with the target's true box."""

from pathlib import Path

import numpy as np

from tpf_training.datasets.record import DatasetError
from tpf_training.datasets.rgbt_pairs import PairFiles
from tpf_training.sampling.mixture import FRAME_SETS


def sequence_pairs(
    source: str, root: Path, split: Path | str | None, every: int, cache: Path | None = None
) -> list[PairFiles]:
    """Of every `every` frames of each sequence the first that shows the target, named `<sequence>/<visible frame>`.

    source: one of FRAME_SETS; split, cache: as its reader takes them. Of a clip of `folder` with several targets each
    has pairs of its own, which share names where they share frames. DatasetError names what is damaged, or no pair.
    """
    pairs = []
    for clip in FRAME_SETS[source](root, split, cache):
        if clip.visible is None or clip.thermal is None:
            folder, lacking = (clip.visible or clip.thermal).folder, "visible" if clip.visible is None else "thermal"
            raise DatasetError(f"{folder.parent}: no {lacking} images, a pair needs both; a split may leave it out")
        sequence = clip.name.rpartition("/")[0] if source == "folder" else clip.name  # <clip>/<target>
        for index in np.unique(clip.frames // every, return_index=True)[1]:
            visible, thermal = clip.visible.path(index), clip.thermal.path(index)
            target = tuple(float(v) for v in clip.boxes[index])
            pairs.append(PairFiles(f"{sequence}/{visible.stem}", visible, thermal, target))
    return pairs
