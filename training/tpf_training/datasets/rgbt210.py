"""RGBT210: `<sequence>/{visible,infrared}/*.jpg`, `init.txt` with boxes for both modalities."""

from pathlib import Path

from tpf_training.datasets.benchmark_folder import Layout, read_benchmark
from tpf_training.datasets.record import Clip, DatasetError

LAYOUT = Layout("visible", "infrared", "init.txt")


def read_rgbt210(
    root: Path,
    split: Path | str | None = None,
    cache: Path | None = None,
    skipped: list[DatasetError] | None = None,
) -> list[Clip]:
    """See `read_benchmark`."""
    return read_benchmark("rgbt210", LAYOUT, root, split, cache, skipped)
