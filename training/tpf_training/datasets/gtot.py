"""GTOT: `<sequence>/{v,i}/*.png`, `groundTruth_v.txt`, `groundTruth_i.txt` with two corners of each box."""

from functools import partial

from tpf_training.datasets.benchmark_folder import Layout, read_benchmark

LAYOUT = Layout("v", "i", "groundTruth_v.txt", "groundTruth_i.txt", corners=True)
read_gtot = partial(read_benchmark, "gtot", LAYOUT)
