"""The ROS 2 node that tracks a target in visible and thermal video, and its tools."""

import os

# PyTorch's threads by default spin while they wait for each other, which takes the cores from the very threads that
# they wait for: with 2 threads on 2 busy cores a frame took 25 s instead of 0.5 s. Read when torch is imported.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
