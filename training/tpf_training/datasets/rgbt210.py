"""RGBT210: `<sequence>/{visible,infrared}/*.jpg`, `init.txt` with boxes for both modalities."""

from functools import partial

from tpf_training.datasets.benchmark_folder import Layout, read_benchmark

LAYOUT = Layout("visible", "infrared", "init.txt")
read_rgbt210 = partial(read_benchmark, "rgbt210", LAYOUT)
