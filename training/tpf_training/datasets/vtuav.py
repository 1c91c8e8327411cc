"""VTUAV: `<sequence>/{rgb,ir}/*.jpg`, `rgb.txt`, `ir.txt` with a box for every tenth frame, beginning with the first.

The splits are the folders that the archives are unpacked into, e.g. `train`, `test_ST`, `test_LT`; the sequences may
lie in groups there, as they do in the archives. File numbers need not begin at 0: frames are counted from the first.
"""

from functools import partial

from tpf_training.datasets.benchmark_folder import Layout, read_benchmark

LAYOUT = Layout("rgb", "ir", "rgb.txt", "ir.txt", every=10)
read_vtuav = partial(read_benchmark, "vtuav", LAYOUT)
