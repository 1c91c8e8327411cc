"""Time to open a data set of many frames the first time, and the second time from the index.

Makes a tree in RGBT234's layout in a temporary folder, of tiny images that are mostly links to one file.

python benchmarks/bench_index.py [--frames 200000] [--sequences 300] [--folder /tmp]
"""

import argparse
import os
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np

from tpf_training.datasets.index import SETTLED
from tpf_training.datasets.rgbt234 import read_rgbt234


def make_tree(root: Path, frames: int, sequences: int) -> int:
    """`frames` files in all, half of them visible, half thermal; returns how many pairs a sequence has."""
    count = frames // (2 * sequences)
    image = np.random.default_rng(0).integers(0, 255, (48, 64), np.uint8)
    for number in range(sequences):
        folder = root / f"sequence{number}"
        for part in ("visible", "infrared"):
            (folder / part).mkdir(parents=True)
            first = folder / part / f"{part[0]}{0:06}.png"
            cv2.imwrite(str(first), image)
            for index in range(1, count):
                os.link(first, folder / part / f"{part[0]}{index:06}.png")
            (folder / f"{part}.txt").write_text("10,10,20,20\n" * count)
    return count


def seconds(function) -> tuple[float, list]:
    start = time.perf_counter()
    result = function()
    return time.perf_counter() - start, result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=int, default=200_000)
    parser.add_argument("--sequences", type=int, default=300)
    parser.add_argument("--folder", help="where the temporary folder is made (the system's own)")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        root, cache = Path(folder, "data"), Path(folder, "cache")
        count = make_tree(root, arguments.frames, arguments.sequences)
        time.sleep(SETTLED + 1)  # files that are quite new are not indexed
        first, clips = seconds(lambda: read_rgbt234(root, cache=cache))
        second, again = seconds(lambda: read_rgbt234(root, cache=cache))
        assert sum(len(clip.boxes) for clip in again) == count * len(clips)
        size = sum(file.stat().st_size for file in cache.iterdir())
        print(f"{len(clips)} sequences, {2 * count * len(clips)} frames in files, index of {size / 1e6:.1f} MB")
        print(f"first time {first:.2f} s, second time {second:.3f} s, ratio {first / second:.0f}")


if __name__ == "__main__":
    main()
