"""What was measured on: numbers without it mean nothing."""

import os
import platform
from pathlib import Path

import cv2
import torch

_CPU_FLAGS = ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_bf16", "amx_int8", "asimd", "i8mm", "bf16", "sve")


def describe_machine() -> str:
    """CPU, cores this process may use, instruction sets that matter here, memory, GPUs, versions, load; no host's name."""
    cpu = _cpu_field("model name") or platform.processor() or platform.machine()
    flags = set((_cpu_field("flags") or _cpu_field("Features")).split())
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    gpus = [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
    parts = [
        f"{cpu}, {len(os.sched_getaffinity(0))} cores",
        " ".join(flag for flag in _CPU_FLAGS if flag in flags),
        f"{memory:.0f} GiB",
        ", ".join(gpus) or "no GPU",
        f"{platform.system()} {platform.machine()}",
        f"Python {platform.python_version()}, PyTorch {torch.__version__}, OpenCV {cv2.__version__}",
        f"load average {os.getloadavg()[0]:.1f} at the start",
    ]
    return "; ".join(part for part in parts if part)


def _cpu_field(name: str) -> str:
    """The first such field of /proc/cpuinfo, empty where there is none."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return ""
    return next((line.partition(":")[2].strip() for line in lines if line.partition(":")[0].strip() == name), "")
