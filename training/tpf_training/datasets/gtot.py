"""GTOT: `<sequence>/{v,i}/*.png`, `groundTruth_v.txt`, `groundTruth_i.txt` with two corners of each box."""

from pathlib import Path

from tpf_training.datasets.benchmark_folder import Layout, read_benchmark
from tpf_training.datasets.record import Clip, DatasetError

LAYOUT = Layout("v", "i", "groundTruth_v.txt", "groundTruth_i.txt", corners=True)


def read_gtot(
    root: Path,
    split: Path | str | None = None,
    cache: Path | None = None,
    skipped: list[DatasetError] | None = None,
) -> list[Clip]:
    """See `read_benchmark`."""
    return read_benchmark("gtot", LAYOUT, root, split, cache, skipped)
