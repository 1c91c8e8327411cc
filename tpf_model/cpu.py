"""What Linux says of the CPU, in /proc/cpuinfo; elsewhere no more than its name is known."""

import platform
from pathlib import Path


def cpu_name() -> str:
    """As Linux calls it; elsewhere as Python does."""
    return _field("model name") or platform.processor() or platform.machine()


def cpu_flags() -> set[str]:
    """The instruction sets by Linux's names: "avx512_bf16", "amx_bf16" and so on."""
    return set((_field("flags") or _field("Features")).split())  # x86, ARM


def multiplies_in_bfloat16() -> bool:
    """Whether there are instructions for it: otherwise it is slower than float32."""
    return bool(cpu_flags() & {"avx512_bf16", "amx_bf16"})


def adds_8_bit_products() -> bool:
    """Whether products of 8 bits are added without loss; other CPUs add two of them in 16 bits first."""
    return bool(cpu_flags() & {"avx512_vnni", "avx_vnni", "asimddp"})


def _field(name: str) -> str:
    """The first such field, empty where there is none."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return ""
    return next((line.partition(":")[2].strip() for line in lines if line.partition(":")[0].strip() == name), "")
