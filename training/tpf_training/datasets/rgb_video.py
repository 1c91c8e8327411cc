"""Visible-only tracking clips: `<clip>/visible.mp4` and one box file per target, `<clip>/<target>.csv`."""

from pathlib import Path

from tpf_training.datasets.damage import tolerate
from tpf_training.datasets.labelled_video import read_labelled_video
from tpf_training.datasets.record import Clip, DatasetError

STRIDE = 2  # neighbouring frames add memory and hardly any difference


def read_rgb_video(root: Path, cache: Path | None = None, skipped: list[DatasetError] | None = None) -> list[Clip]:
    """Every clip and target under `root`, every second frame.

    skipped: None makes a damaged clip an error; a list takes the errors instead.
    """
    clips = []
    for boxes in sorted(root.glob("*/*.csv")):
        name, video = f"{boxes.parent.name}/{boxes.stem}", boxes.parent / "visible.mp4"
        with tolerate(skipped):
            clips.append(read_labelled_video(name, boxes, visible=video, stride=STRIDE, cache=cache))
    if not clips:
        raise DatasetError(f"{root}: no clips, expected <clip>/visible.mp4 and <clip>/<target>.csv")
    return clips
