"""The ROS 2 node that tracks a target in visible and thermal video, and its tools."""
