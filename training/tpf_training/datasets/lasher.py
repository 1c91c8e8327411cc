"""LasHeR: `<sequence>/{visible,infrared}/*.jpg`, `init.txt`, `visible.txt`, `infrared.txt`.

`init.txt` is what its evaluation scores against. The splits are the folders `trainingset` and `testingset`.
"""

from functools import partial

from tpf_training.datasets.benchmark_folder import Layout, read_benchmark

LAYOUT = Layout("visible", "infrared", "init.txt", "infrared.txt", thermal_boxes_may_lack=True)
read_lasher = partial(read_benchmark, "lasher", LAYOUT)
