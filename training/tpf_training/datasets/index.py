"""An index of the sequences of a data set: what is in their folders and box files is listed, sorted and parsed once.

Of each sequence the index keeps the frames that have a box, the boxes and the images' size, and what its folders and
files looked like. A sequence that looks the same the next time is taken from the index, any other is read anew; so is
one that was damaged. Frames themselves are not in it, and one that was spoilt since is found when it is decoded.
"""

import hashlib
import os
import time
import zipfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tpf_training.datasets.damage import tolerate
from tpf_training.datasets.image_sequence import ImageSequence
from tpf_training.datasets.record import Clip, DatasetError
from tpf_training.whole_file import whole_file

VERSION = 1  # of the file, and of what the readers make of a sequence: raise it with either
# Seconds. File systems note times this coarsely: what is newer may change once more without looking different.
SETTLED = 2.0


@dataclass(frozen=True)
class SequenceFiles:
    """Where a sequence is: folders of frames, and box files."""

    name: str
    visible: Path | None
    thermal: Path | None
    boxes: Path
    thermal_boxes: Path | None = None


def index_file(cache: Path, reader: str, root: Path, split: Path | str | None) -> Path:
    """Where the index of a data set is kept in the folder `cache`."""
    digest = hashlib.sha1(f"{VERSION} {root.resolve()} {split}".encode()).hexdigest()[:12]
    return cache / f"index_{reader}_{digest}.npz"


def read_indexed(
    sequences: list[SequenceFiles],
    read: Callable[[SequenceFiles], Clip],
    file: Path | None,
    skipped: list[DatasetError] | None = None,
) -> list[Clip]:
    """`read(sequence)` of each, from the index `file` where it has them unchanged; None keeps no index.

    `read` gives clips of `ImageSequence`s. Damaged sequences are errors, or counted where `skipped` is given.
    """
    known = _load(file, sequences) if file else {}
    started, clips, keys = time.time(), [], []
    for sequence in sequences:
        clip, key = known.get(sequence.name, (None, b""))
        if clip is None:
            with tolerate(skipped):
                clip = read(sequence)
                key = _key(sequence, clip, started - SETTLED)
        if clip is not None:
            clips.append(clip)
            keys.append(key)
    if file and len(clips) > len(known):
        _save(file, clips, keys)
    return clips


def _key(sequence: SequenceFiles, clip: Clip, settled: float = np.inf) -> bytes:
    """What the sequence looks like: of its folders the time, of its box files and first frames time, size and number.

    Empty, which no sequence looks like, where any of it is newer than `settled` (seconds since 1970).
    """
    frames = [images.path(0) for images in (clip.visible, clip.thermal) if images is not None]
    folders = [path for path in (sequence.visible, sequence.thermal) if path is not None]
    files = [path for path in (sequence.boxes, sequence.thermal_boxes) if path is not None]
    try:
        states = [(path.name, path.stat()) for path in folders + files + frames]
    except OSError:
        return b""
    if any(state.st_mtime > settled for _, state in states):
        return b""
    parts = [(name, state.st_mtime_ns) for name, state in states[: len(folders)]]
    parts += [(name, state.st_mtime_ns, state.st_size, state.st_ino) for name, state in states[len(folders) :]]
    return hashlib.sha1(repr(parts).encode()).hexdigest()[:20].encode()


def _save(file: Path, clips: list[Clip], keys: list[bytes]) -> None:
    """Write all clips as a few long arrays."""

    def joined(parts: Iterable[np.ndarray | None], lacking: np.ndarray) -> np.ndarray:
        """One array, in which a clip that has none of it is filled with `lacking`."""
        parts = zip(parts, clips)
        return np.concatenate([np.repeat(lacking, len(clip.frames), 0) if p is None else p for p, clip in parts])

    def names(images: ImageSequence | None) -> np.ndarray | None:
        return None if images is None else images.names

    no_name, no_box = np.zeros(1, "S1"), np.zeros((1, 4), np.float32)
    shown = [clip.thermal if clip.visible is None else clip.visible for clip in clips]
    arrays = {
        "clip": np.array([os.fsencode(clip.name) for clip in clips]),
        "key": np.array(keys, dtype="S20"),
        "count": np.array([len(clip.frames) for clip in clips]),
        "size": np.array([images.shape[2:0:-1] for images in shown]),
        "visible": joined((names(clip.visible) for clip in clips), no_name),
        "thermal": joined((names(clip.thermal) for clip in clips), no_name),
        "boxes": np.concatenate([clip.boxes for clip in clips]),
        "thermal_boxes": joined((clip.thermal_boxes for clip in clips), no_box),
        "frames": np.concatenate([clip.frames for clip in clips]),
    }
    file.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(file) as part, open(part, "wb") as stream:
        np.savez(stream, **arrays)


def _load(file: Path, sequences: list[SequenceFiles]) -> dict[str, tuple[Clip, bytes]]:
    """The clips and keys of those `sequences` that look as they did; none where the file is missing or unreadable."""
    try:
        with np.load(file, allow_pickle=False) as stored:
            arrays = dict(stored)
        ends = np.cumsum(arrays["count"]).tolist()
        places = {os.fsdecode(bytes(name)): i for i, name in enumerate(arrays["clip"])}
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return {}  # it is only a cache
    known = {}
    for sequence in sequences:
        i = places.get(sequence.name)
        if i is not None:
            part = slice(ends[i] - int(arrays["count"][i]), ends[i])
            clip, key = _clip(sequence, arrays, part, tuple(arrays["size"][i].tolist())), bytes(arrays["key"][i])
            if key and _key(sequence, clip) == key:
                known[sequence.name] = clip, key
    return known


def _clip(sequence: SequenceFiles, arrays: dict[str, np.ndarray], part: slice, size: tuple[int, int]) -> Clip:
    images = (
        None if folder is None else ImageSequence(folder, arrays[name][part], size, grey)
        for name, folder, grey in (("visible", sequence.visible, False), ("thermal", sequence.thermal, True))
    )
    thermal_boxes = None if sequence.thermal_boxes is None else arrays["thermal_boxes"][part]
    return Clip(sequence.name, *images, arrays["boxes"][part], arrays["frames"][part], thermal_boxes)
