"""`tpf bench`: how fast, how small and how exact this installation is here, against what is wanted.

`suite.py` lists what is measured; each `*_rows.py` holds a part of the table's rows, their targets beside the code that
measures them.
"""

from tpf_ros.bench.command import add_arguments, run

__all__ = ["add_arguments", "run"]
