"""Aligned visible + thermal clips: `<clip>/{visible,thermal}.mp4` and one box file per target, `<clip>/<target>.csv`."""

from pathlib import Path

from tpf_training.datasets.labelled_video import read_labelled_video
from tpf_training.datasets.record import Clip, DatasetError
from tpf_training.datasets.splits import is_held_out


def read_rgbt_video(root: Path, split: str = "train", cache: Path | None = None) -> list[Clip]:
    """The clips under `root` of `split` ("train", or "eval": those held out of training)."""
    folders = [folder for folder in sorted(root.glob("*/")) if is_held_out(folder.name) == (split == "eval")]
    clips = [
        read_labelled_video(f"{folder.name}/{boxes.stem}", boxes, folder / "visible.mp4", folder / "thermal.mp4", cache=cache)
        for folder in folders
        for boxes in sorted(folder.glob("*.csv"))
    ]
    if not clips:
        raise DatasetError(f"{root}: no clips of split {split!r}, expected <clip>/visible.mp4, thermal.mp4 and <target>.csv")
    return clips
