"""Plays a rosbag to the tracker and shows it in RViz: `ros2 launch tpf_ros replay.launch.py bag:=PATH`.

Takes the arguments of tracker.launch.py too.
"""

from pathlib import Path

from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument, IncludeLaunchDescription
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import LaunchConfiguration

TRACKER = Path(__file__).resolve().parent / "tracker.launch.py"


def generate_launch_description():
    return LaunchDescription(
        [
            DeclareLaunchArgument("bag", description="rosbag2 folder or .mcap file to play"),
            DeclareLaunchArgument("rviz", default_value="true", description="true or false: start RViz"),
            IncludeLaunchDescription(
                PythonLaunchDescriptionSource(str(TRACKER)),
                launch_arguments={name: LaunchConfiguration(name) for name in ("bag", "rviz")}.items(),
            ),
        ]
    )
