"""RGBT234: `<sequence>/{visible,infrared}/*.jpg`, `visible.txt`, `infrared.txt`: each modality has its own boxes."""

from pathlib import Path

from tpf_training.datasets.benchmark_folder import Layout, read_benchmark
from tpf_training.datasets.record import Clip, DatasetError

LAYOUT = Layout("visible", "infrared", "visible.txt", "infrared.txt")


def read_rgbt234(
    root: Path,
    split: Path | str | None = None,
    cache: Path | None = None,
    skipped: list[DatasetError] | None = None,
) -> list[Clip]:
    """See `read_benchmark`."""
    return read_benchmark("rgbt234", LAYOUT, root, split, cache, skipped)
