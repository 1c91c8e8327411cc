"""Time of the selective scan's backends on one operand, and of the fusion adapter on one search crop.

python benchmarks/bench_scan.py [--threads 1] [--tokens 4096]
"""

import argparse
import time

import torch

from tpf_model.fusion import PixelFusionAdapter
from tpf_model.selective_scan import selective_scan


def median_ms(function, runs: int) -> float:
    function()  # warm up
    times = []
    for _ in range(runs):
        start = time.perf_counter()
        function()
        times.append(time.perf_counter() - start)
    return 1000 * sorted(times)[runs // 2]


@torch.inference_mode()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--tokens", type=int, default=4096)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)

    u, delta = torch.rand(1, 32, arguments.tokens), 0.1 * torch.rand(1, 32, arguments.tokens)
    A, D = -torch.arange(1.0, 17.0).repeat(32, 1), torch.ones(32)
    B, C = torch.rand(1, 2, 16, arguments.tokens), torch.rand(1, 2, 16, arguments.tokens)
    times = {}
    for name, runs in (("reference", 3), ("blocked", 15), ("native", 15)):
        times[name] = median_ms(lambda: selective_scan(u, delta, A, B, C, D, name), runs)
        print(f"scan of {arguments.tokens} tokens, 32 channels, 16 states, {name}: {times[name]:.1f} ms")
    for slow, fast in (("reference", "blocked"), ("blocked", "native")):
        print(f"{slow} / {fast}: {times[slow] / times[fast]:.1f}")

    images = torch.rand(2, 1, 3, 256, 256)
    for stride in (4, 2):
        for name in ("blocked", "native"):
            adapter = PixelFusionAdapter(stride, name).eval()
            milliseconds = median_ms(lambda: adapter(*images), 7)
            print(f"adapter on 256x256, token stride {stride}, {name}: {milliseconds:.1f} ms")


if __name__ == "__main__":
    main()
