"""What Linux says of the CPU, in /proc/cpuinfo; nothing elsewhere."""

from pathlib import Path


def cpu_flags() -> set[str]:
    """The instruction sets by Linux's names: "avx512_bf16", "amx_bf16" and so on."""
    return set((cpu_field("flags") or cpu_field("Features")).split())  # x86, ARM


def multiplies_in_bfloat16() -> bool:
    """Whether there are instructions for it: otherwise it is slower than float32."""
    return bool(cpu_flags() & {"avx512_bf16", "amx_bf16"})


def adds_8_bit_products() -> bool:
    """Whether products of 8 bits are added without loss; other CPUs add two of them in 16 bits first."""
    return bool(cpu_flags() & {"avx512_vnni", "avx_vnni", "asimddp"})


def cpu_field(name: str) -> str:
    """The first such field, empty where there is none."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return ""
    return next((line.partition(":")[2].strip() for line in lines if line.partition(":")[0].strip() == name), "")
