"""Aligned visible + thermal clips: `<clip>/{visible,thermal}.mp4`, and `<clip>/<target>.csv` for each target."""

from pathlib import Path

from tpf_training.datasets.damage import tolerate
from tpf_training.datasets.labelled_video import read_labelled_video
from tpf_training.datasets.record import Clip, DatasetError
from tpf_training.datasets.splits import is_held_out


def read_rgbt_video(root: Path, cache: Path | None = None, skipped: list[DatasetError] | None = None) -> list[Clip]:
    """Every clip and target under `root` that is not held out.

    skipped: None makes a damaged clip an error; a list takes the errors instead.
    """
    clips = []
    for boxes in sorted(root.glob("*/*.csv")):
        folder = boxes.parent
        if not is_held_out(folder.name):
            name, videos = f"{folder.name}/{boxes.stem}", (folder / "visible.mp4", folder / "thermal.mp4")
            with tolerate(skipped):
                clips.append(read_labelled_video(name, boxes, *videos, cache=cache))
    if not clips:
        raise DatasetError(f"{root}: no clips to train on, expected <clip>/visible.mp4, thermal.mp4 and <target>.csv")
    return clips
