"""`python -m tpf_ros` runs the node."""

from tpf_ros.tracker_node import main

main()
