"""Unpaired clips of flying objects: `{visible,thermal}/<clip>.{mp4,csv}`; those in `eval.txt` are not for training."""

from pathlib import Path

from tpf_training.datasets.damage import tolerate
from tpf_training.datasets.labelled_video import read_labelled_video
from tpf_training.datasets.record import Clip, DatasetError
from tpf_training.datasets.splits import evaluation_names

STRIDE = 10  # 85,000 frames of mostly sky: a tenth shows what there is
REGION = 9.0  # a search crop with its jitter reaches at most about this many target sizes


def read_single_modality(
    root: Path, cache: Path | None = None, skipped: list[DatasetError] | None = None
) -> list[Clip]:
    """The clips under `root` that `eval.txt` does not list, the surroundings of the target in every tenth frame.

    skipped: None makes a damaged clip an error; a list takes the errors instead.
    """
    held_out = evaluation_names(root / "eval.txt")
    clips = []
    for modality in ("visible", "thermal"):
        for boxes in sorted((root / modality).glob("*.csv")):
            if boxes.stem in held_out:
                continue
            video = {modality: boxes.with_suffix(".mp4")}
            with tolerate(skipped):
                clips.append(
                    read_labelled_video(boxes.stem, boxes, **video, stride=STRIDE, region_factor=REGION, cache=cache)
                )
    if not clips:
        raise DatasetError(f"{root}: no clips to train on, expected {{visible,thermal}}/<clip>.mp4 and .csv")
    return clips
