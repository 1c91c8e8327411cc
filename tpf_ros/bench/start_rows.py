"""How long it takes from the start of a process to the first box that it tracked."""

import sys
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np
import torch

from tpf_model.timing.spread import Spread
from tpf_ros.bench.conditions import Conditions
from tpf_ros.bench.row import Measured, Results, Target
from tpf_ros.bench.scene import BOX, make_scene
from tpf_ros.child_process import ChildProcess

CPU = (Target("start.cpu", "start of `tpf track` to its first tracked box, small, CPU", "s", "<=", 5),)
GPU = (Target("start.gpu", "start of `tpf track` to its first tracked box, small, GPU", "s", "<=", 8),)
_PATIENCE = 120.0  # s
_LINES = 3  # of boxes.csv: its header, the given box, the first tracked one


def measure_cpu(conditions: Conditions) -> Results:
    return {CPU[0].name: Measured(_starts("cpu", conditions), conditions.cpu())}


def measure_gpu(conditions: Conditions) -> Results:
    device = conditions.gpu()
    return {GPU[0].name: Measured(_starts(str(device), conditions), torch.cuda.get_device_name(device))}


def _starts(device: str, conditions: Conditions) -> Spread:
    """Seconds of several starts; from the second on the program's files are in the system's cache."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        frame = make_scene()
        for modality, image in (("visible", frame.visible), ("thermal", frame.thermal)):
            (folder / modality).mkdir()
            for number in range(2):
                cv2.imwrite(str(folder / modality / f"{number}.png"), image)
        seconds = [_start(folder, device) for _ in range(conditions.starts)]
    return Spread.of(np.array(seconds))


def _start(folder: Path, device: str) -> float:
    boxes = folder / "boxes.csv"
    boxes.unlink(missing_ok=True)
    inputs = ["--visible", str(folder / "visible"), "--thermal", str(folder / "thermal")]
    given = ["--init=" + ",".join(map(str, BOX)), "--model", "small", "--device", device, "--out", str(boxes)]
    begin = time.perf_counter()
    child = ChildProcess("tracker", [sys.executable, "-m", "tpf_ros.cli", "track", *inputs, *given], folder / "log")
    try:
        while _lines(boxes) < _LINES:
            if time.perf_counter() - begin > _PATIENCE:
                raise child.failure(f"had no box after {_PATIENCE:g} s")
            if not child.is_running() and _lines(boxes) < _LINES:
                child.check()
            time.sleep(0.005)
        return time.perf_counter() - begin
    finally:
        child.stop()


def _lines(file: Path) -> int:
    return file.read_text().count("\n") if file.exists() else 0
