"""How rows are measured: for how long, with how many threads, on which devices."""

import re
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from tpf_ros.bench.row import NotMeasured


@dataclass(frozen=True)
class Conditions:
    """device: "auto" (rows of a CPU on the CPU, of a GPU on the first one), "cpu", "cuda" or "cuda:N": only those.

    threads: of PyTorch, OpenCV and ONNX Runtime. seconds: about how long candidates are measured in turns, at least and
    at most so many `rounds`. starts: how often a process is started. clips: folders of labelled clips.
    """

    device: str = "auto"
    threads: int = 2
    seconds: float = 15.0
    rounds: tuple[int, int] = (7, 300)
    starts: int = 3
    clips: tuple[Path, ...] = ()

    def quick(self) -> "Conditions":
        """The same, with few repetitions."""
        return replace(self, seconds=0.5, rounds=(3, 50), starts=1)

    def check(self) -> None:
        """ValueError for a device or a clip that cannot be used."""
        if not re.fullmatch(r"auto|cpu|cuda(:\d+)?", self.device):
            raise ValueError(f"unknown device {self.device!r}; known: auto, cpu, cuda, cuda:N")
        for clip in self.clips:
            target_files(clip)

    def cpu(self) -> str:
        """The CPU as a row's device; NotMeasured where only GPUs are wanted."""
        if self.device.startswith("cuda"):
            raise NotMeasured(f"--device {self.device}")
        return f"CPU, {self.threads} thread{'s' if self.threads > 1 else ''}"

    def gpu(self) -> torch.device:
        """NotMeasured where there is no GPU, or none wanted."""
        if self.device == "cpu":
            raise NotMeasured("--device cpu")
        index = int(self.device.partition(":")[2] or 0)
        if index >= torch.cuda.device_count():
            raise NotMeasured(f"PyTorch finds no CUDA GPU {index}" if index else "PyTorch finds no CUDA GPU")
        return torch.device("cuda", index)


def target_files(clip: Path) -> list[Path]:
    """The box files of a clip's targets; ValueError where it is none."""
    files = sorted(clip.glob("*.csv"))
    if not files or not all((clip / f"{name}.mp4").is_file() for name in ("visible", "thermal")):
        raise ValueError(f"--clips {clip} needs visible.mp4, thermal.mp4 and a <target>.csv")
    return files
