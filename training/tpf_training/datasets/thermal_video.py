"""Thermal clips without labels: `<clip>.mp4`; read as stills."""

from pathlib import Path

import numpy as np

from tpf_training.datasets.damage import tolerate
from tpf_training.datasets.frame_store import Wanted, load_frames, probe
from tpf_training.datasets.pseudo_boxes import find_boxes
from tpf_training.datasets.record import DatasetError, Still
from tpf_training.datasets.splits import is_held_out

STRIDE = 10


def read_thermal_video(root: Path, cache: Path | None = None, skipped: list[DatasetError] | None = None) -> list[Still]:
    """Every tenth frame of every clip under `root`, with boxes of the regions that stand out in it.

    skipped: None makes a damaged clip an error; a list takes the errors instead.
    """
    stills = []
    for video in sorted(root.glob("*.mp4")):
        if is_held_out(video.stem):
            continue
        with tolerate(skipped):
            numbers = np.arange(0, probe(video)[0], STRIDE)
            frames = load_frames(video, Wanted(numbers, grey=True), cache)
            stills += [Still(f"{video.stem}/{n}", None, frame, find_boxes(frame)) for n, frame in zip(numbers, frames)]
    if not stills:
        raise DatasetError(f"{root}: no clips, expected <clip>.mp4")
    return stills
