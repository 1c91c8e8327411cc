"""LasHeR: `<sequence>/{visible,infrared}/*.jpg`, `init.txt`, `visible.txt`, `infrared.txt`.

`init.txt` is what its evaluation scores against. The splits are the folders `trainingset` and `testingset`.
"""

from pathlib import Path

from tpf_training.datasets.benchmark_folder import Layout, read_benchmark
from tpf_training.datasets.record import Clip, DatasetError

LAYOUT = Layout("visible", "infrared", "init.txt", "infrared.txt", thermal_boxes_may_lack=True)


def read_lasher(
    root: Path,
    split: Path | str | None = None,
    cache: Path | None = None,
    skipped: list[DatasetError] | None = None,
) -> list[Clip]:
    """See `read_benchmark`."""
    return read_benchmark("lasher", LAYOUT, root, split, cache, skipped)
