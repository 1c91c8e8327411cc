"""RGBT234: `<sequence>/{visible,infrared}/*.jpg`, `visible.txt`, `infrared.txt`: each modality has its own boxes."""

from functools import partial

from tpf_training.datasets.benchmark_folder import Layout, read_benchmark

LAYOUT = Layout("visible", "infrared", "visible.txt", "infrared.txt")
read_rgbt234 = partial(read_benchmark, "rgbt234", LAYOUT)
