"""The ROS 2 node that tracks a target in visible and thermal video, and its tools."""

import os

# PyTorch's threads by default spin for long while they wait for each other, which takes the cores from the very threads
# that they wait for: with 2 threads on 2 busy cores a frame took 25 s instead of 0.5 s. Asleep at once they take twice
# as long on idle cores, so they spin for some microseconds. Read when torch is imported.
if "OMP_WAIT_POLICY" not in os.environ:
    os.environ.setdefault("GOMP_SPINCOUNT", "10000")
