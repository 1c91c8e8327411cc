"""Single frames of a sequence, for pictures."""

import numpy as np

from tpf_training.datasets.frame_store import Wanted, load_frames
from tpf_training.evaluation.clips import VideoSequence
from tpf_training.evaluation.one_pass import Images
from tpf_training.evaluation.sequences import FrameSequence


def read_frames(sequence: FrameSequence | VideoSequence, indices: list[int]) -> list[Images]:
    """The images of the frames `indices`, which rise; of image files no others are decoded, of videos none after them.

    DatasetError names a frame that is missing or damaged.
    """
    if isinstance(sequence, VideoSequence):
        numbers = np.array(indices) + sequence.first
        modalities = [
            load_frames(video, Wanted(numbers, grey)) if video else [None] * len(indices)
            for video, grey in ((sequence.visible, False), (sequence.thermal, True))
        ]
        return list(zip(*modalities, strict=True))
    return [
        tuple(None if frames is None else frames[index] for frames in (sequence.visible, sequence.thermal))
        for index in indices
    ]
