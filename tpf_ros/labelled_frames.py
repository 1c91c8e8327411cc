"""Frames of a labelled clip, a folder with visible.mp4, thermal.mp4 and <target>.csv, for checks on real images."""

from pathlib import Path

from tpf_model.boxes import Box
from tpf_model.frame import Frame
from tpf_model.normalise import ThermalNormaliser
from tpf_ros.ground_truth import read_ground_truth
from tpf_ros.sources import open_source

Labelled = tuple[Frame, Box]


def read_labelled_frames(clip: Path, steps: int) -> tuple[Labelled, list[tuple[Labelled, Labelled]]]:
    """A target in its first frame, and `steps` pairs of frames, one after the other, spread over the rest.

    The target is that of the clip's first box file by name.

    ValueError names what cannot be read, or the box file that has too few boxes.
    """
    boxes = sorted(clip.glob("*.csv"))
    if not boxes:
        raise ValueError(f"{clip} has no <target>.csv: a clip has visible.mp4, thermal.mp4 and such a file")
    truth = read_ground_truth(boxes[0])
    later = [frame for frame in sorted(truth)[1:] if frame - 1 in truth]
    if len(later) < steps:
        raise ValueError(f"{boxes[0]} has {len(later)} boxes one after the other, {steps} are needed")
    chosen = [later[(len(later) - 1) * step // max(1, steps - 1)] for step in range(steps)]
    first = min(truth)
    wanted = {first, *chosen, *(frame - 1 for frame in chosen)}
    frames = _read(clip, wanted)
    labelled = {number: (frames[number], truth[number]) for number in wanted}
    return labelled[first], [(labelled[number - 1], labelled[number]) for number in chosen]


def _read(clip: Path, wanted: set[int]) -> dict[int, Frame]:
    sources = [open_source(str(clip / f"{name}.mp4"), name) for name in ("visible", "thermal")]
    normalise, frames = ThermalNormaliser(), {}
    for number, (visible, thermal) in enumerate(zip(*sources)):
        if number in wanted:
            frames[number] = Frame(visible.load(), normalise(thermal.load()))
        if len(frames) == len(wanted):
            return frames
    raise ValueError(f"{clip}: its videos end before frame {max(wanted)}, which has a box")
