"""What the 8-bit encoder and head cost in accuracy, on labelled clips."""

from pathlib import Path

import numpy as np

from tpf_model.timing.threads import pinned_threads
from tpf_ros.bench.conditions import Conditions, target_files
from tpf_ros.bench.row import Measured, NotMeasured, Results, Target
from tpf_ros.bench.sessions import INT8, open_here
from tpf_ros.ground_truth import overlaps_of, read_ground_truth
from tpf_ros.offline import OfflineTracker
from tpf_ros.parameters import Settings
from tpf_ros.sources import open_source

INT8_SR = tuple(
    Target(f"cpu.int8_loss_{model}", f"{model}: mean SR in float32 - that in int8", "points", "<=", 1)
    for model in ("tiny", "small")
)
_EXACT = {"runtime": "eager", "precision": "float32"}  # with the compiled scan: a fraction of the time, the same boxes
_THRESHOLDS = np.linspace(0, 1, 21)  # SR: the mean over them of the share of frames with a greater IoU


def measure(conditions: Conditions) -> Results:
    """Over every target of the clips, folders with visible.mp4, thermal.mp4 and <target>.csv: the mean of their SR."""
    device = conditions.cpu()
    if not conditions.clips:
        raise NotMeasured("needs labelled clips: --clips DIR")
    results: Results = {}
    for target in INT8_SR:
        model = target.name.rpartition("_")[2]
        try:
            open_here(model, "cpu", conditions, **INT8)  # find out before the other one takes minutes
            with pinned_threads(conditions.threads):
                rates = {name: _mean_rate(model, how, conditions) for name, how in (("float32", _EXACT), ("int8", INT8))}
        except NotMeasured as reason:
            results[target.name] = reason
            continue
        parts = {f"{name} (SR)": rate for name, rate in rates.items()}
        results[target.name] = Measured(rates["float32"] - rates["int8"], device, parts)
    return results


def _mean_rate(model: str, how: dict, conditions: Conditions) -> float:
    """Mean SR in percent."""
    settings = Settings.from_values({"model": model, "device": "cpu", "threads": conditions.threads, **how})
    return float(np.mean([_rate(boxes, settings) for clip in conditions.clips for boxes in target_files(clip)]))


def _rate(box_file: Path, settings: Settings) -> float:
    truth = read_ground_truth(box_file)
    visible, thermal = (open_source(str(box_file.with_name(f"{name}.mp4")), name) for name in ("visible", "thermal"))
    start = min(truth)
    tracker = OfflineTracker(visible, thermal, settings, truth[start], start, max(truth))
    return success_rate(overlaps_of([row for _, row in tracker], truth))


def success_rate(overlaps: list[float]) -> float:
    """SR in percent, of each frame's IoU."""
    return 100 * float((np.array(overlaps)[:, None] > _THRESHOLDS).mean())
