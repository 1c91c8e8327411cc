"""What the 8-bit encoder and head cost in accuracy, on labelled clips.

Who is followed after a crossing hangs on the last digits. So trackers start at many frames, each for a while: in one
pass a single crossing would decide over hundreds of frames.
"""

from itertools import compress
from pathlib import Path

import numpy as np

from tpf_model.boxes import Box
from tpf_model.timing.threads import pinned_threads
from tpf_ros.bench.conditions import Conditions, target_files
from tpf_ros.bench.row import Measured, NotMeasured, Results, Target
from tpf_ros.bench.sessions import INT8, open_here
from tpf_ros.ground_truth import overlaps_of, read_ground_truth
from tpf_ros.offline import OfflineTracker
from tpf_ros.parameters import Settings
from tpf_ros.scores import success_rate
from tpf_ros.sources import open_source

INT8_SR = tuple(
    Target(f"cpu.int8_loss_{model}", f"{model}: mean SR in float32 - that in int8", "points", "<=", 1)
    for model in ("tiny", "small")
)
_EXACT = {"runtime": "eager", "precision": "float32"}  # with the compiled scan: a fraction of the time, the same boxes
_EVERY, _FRAMES = 60, 100  # a start in every so many frames, for so many frames


def measure(conditions: Conditions) -> Results:
    """Over the targets of the clips, folders with visible.mp4, thermal.mp4 and <target>.csv."""
    device = conditions.cpu()
    if not conditions.clips:
        raise NotMeasured("needs labelled clips: --clips DIR")
    results: Results = {}
    for target in INT8_SR:
        model = target.name.rpartition("_")[2]
        try:
            open_here(model, "cpu", conditions, **INT8)  # find out before the other one takes minutes
            with pinned_threads(conditions.threads):
                exact, ours = (_mean_rate(model, how, conditions) for how in (_EXACT, INT8))
        except NotMeasured as reason:
            results[target.name] = reason
            continue
        parts = {"float32 (SR)": exact, "int8 (SR)": ours}
        results[target.name] = Measured(exact - ours, device, parts)
    return results


def _mean_rate(model: str, how: dict, conditions: Conditions) -> float:
    """SR in percent, the mean over all starts."""
    settings = Settings.from_values({"model": model, "device": "cpu", "threads": conditions.threads, **how})
    box_files = [file for clip in conditions.clips for file in target_files(clip)]
    return float(np.mean([rate for file in box_files for rate in _rates(file, settings)]))


def _rates(box_file: Path, settings: Settings) -> list[float]:
    """The SR from each start that a frame with a true box follows."""
    truth = read_ground_truth(box_file)
    starts = [start for start in range(min(truth), max(truth), _EVERY) if start in truth]
    follows = [any(start < frame < start + _FRAMES for frame in truth) for start in starts]
    return [_rate(box_file, settings, truth, start) for start in compress(starts, follows)]


def _rate(box_file: Path, settings: Settings, truth: dict[int, Box], start: int) -> float:
    visible, thermal = (open_source(str(box_file.with_name(f"{name}.mp4")), name) for name in ("visible", "thermal"))
    tracker = OfflineTracker(visible, thermal, settings, truth[start], start, start + _FRAMES - 1)
    return 100 * success_rate(np.array(overlaps_of([row for _, row in tracker], truth)))
