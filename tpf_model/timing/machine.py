"""What was measured on: numbers without it mean nothing."""

import os
import platform

import cv2
import torch

from tpf_model.cpu import cpu_flags, cpu_name

_CPU_FLAGS = ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_bf16", "amx_int8", "asimd", "i8mm", "bf16", "sve")


def describe_machine() -> str:
    """CPU, cores this process may use, instruction sets that matter here, memory, GPUs, versions, load; no host's name."""
    flags = cpu_flags()
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    gpus = [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
    parts = [
        f"{cpu_name()}, {len(os.sched_getaffinity(0))} cores",
        " ".join(flag for flag in _CPU_FLAGS if flag in flags),
        f"{memory:.0f} GiB",
        ", ".join(gpus) or "no GPU",
        f"{platform.system()} {platform.machine()}",
        f"Python {platform.python_version()}, PyTorch {torch.__version__}, OpenCV {cv2.__version__}",
        f"load average {os.getloadavg()[0]:.1f} at the start",
    ]
    return "; ".join(part for part in parts if part)
