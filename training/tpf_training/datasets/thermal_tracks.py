"""Walking people in thermal clips without labels: tracks found by their motion, as clips and with their outlines."""

from pathlib import Path

import numpy as np

from tpf_training.datasets.damage import tolerate
from tpf_training.datasets.frame_store import Wanted, load_frames, probe
from tpf_training.datasets.motion_tracks import Track, find_tracks
from tpf_training.datasets.record import Clip, DatasetError
from tpf_training.datasets.splits import is_held_out

STRIDE = 2


def read_thermal_tracks(
    root: Path, cache: Path | None = None, skipped: list[DatasetError] | None = None
) -> list[tuple[Clip, list[np.ndarray]]]:
    """Every track in every `<clip>.mp4` under `root`: a clip, and the target's mask (h, w) bool in each frame.

    skipped: None makes a damaged clip an error; a list takes the errors instead.
    """
    found = []
    for video in sorted(root.glob("*.mp4")):
        if is_held_out(video.stem):
            continue
        with tolerate(skipped):
            numbers = np.arange(0, probe(video)[0], STRIDE)
            frames = load_frames(video, Wanted(numbers, grey=True), cache)
            tracks = find_tracks(np.asarray(frames))
            found += [(_clip(video.stem, track, frames, numbers), track.masks) for track in tracks]
    if not found:
        raise DatasetError(f"{root}: no tracks, expected <clip>.mp4 of people who walk")
    return found


def _clip(name: str, track: Track, frames: np.ndarray, numbers: np.ndarray) -> Clip:
    part = slice(track.frames[0], track.frames[-1] + 1)  # a track has no gaps, so this is a view, not a copy
    boxes = np.array(track.boxes, dtype=np.float32)
    return Clip(f"{name}/{numbers[part][0]}", None, frames[part], boxes, numbers[part])
