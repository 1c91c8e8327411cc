"""The launch files: they compile everywhere, and run where `launch` is installed (it comes with ROS, not as a wheel)."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
LAUNCH = ROOT / "launch"

# What `ros2 launch FILE NAME:=VALUE...` does.
RUNNER = """
import sys
from launch import LaunchDescription, LaunchService
from launch.actions import IncludeLaunchDescription
from launch.launch_description_sources import PythonLaunchDescriptionSource

arguments = dict(argument.split(":=", 1) for argument in sys.argv[2:])
source = PythonLaunchDescriptionSource(sys.argv[1])
service = LaunchService()
service.include_launch_description(LaunchDescription([IncludeLaunchDescription(source, launch_arguments=arguments.items())]))
sys.exit(service.run())
"""


@pytest.mark.parametrize("path", sorted(LAUNCH.glob("*.launch.py")), ids=lambda path: path.name)
def test_a_launch_file_compiles(path):
    assert "generate_launch_description" in compile(path.read_text(), str(path), "exec").co_names


def test_the_package_builds_where_colcon_links_to_it(tmp_path):
    """As `colcon build --symlink-install` does: setup.py is a link in a folder of the build."""
    (tmp_path / "setup.py").symlink_to(ROOT / "setup.py")
    command = [sys.executable, "setup.py", "--name"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0 and done.stdout.split()[-1] == "tpf_ros", done.stderr


@pytest.fixture
def launched(ros, tmp_path):
    """launched(file, *arguments) -> a node to look with; the launch is ended with Ctrl-C after the test, and ends well."""
    pytest.importorskip("launch_ros")
    prefix = tmp_path / "prefix"  # as colcon installs the package
    (prefix / "lib/tpf_ros").mkdir(parents=True)
    (prefix / "lib/tpf_ros/tpf_tracker").symlink_to(Path(sys.executable).parent / "tpf_tracker")
    (prefix / "share/ament_index/resource_index/packages").mkdir(parents=True)
    (prefix / "share/ament_index/resource_index/packages/tpf_ros").touch()
    environment = {**os.environ, "AMENT_PREFIX_PATH": f"{prefix}:{os.environ.get('AMENT_PREFIX_PATH', '')}"}
    environment["PATH"] = f"{tmp_path}:{os.environ['PATH']}"  # a test may put a program there
    node = ros.create_node("launch_test")
    processes = []

    def launch(file: str, *arguments: str):
        command = [sys.executable, "-c", RUNNER, str(LAUNCH / file), *arguments]
        processes.append(subprocess.Popen(command, env=environment))
        return node

    yield launch
    for process in processes:
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 0
    node.destroy_node()


def parameters(ros, node, namespace: str, *names: str) -> list:
    from rcl_interfaces.srv import GetParameters
    from rclpy.parameter import parameter_value_to_python

    client = node.create_client(GetParameters, f"{namespace}/tpf_tracker/get_parameters")
    assert client.wait_for_service(120)
    future = client.call_async(GetParameters.Request(names=names))
    ros.spin_until_future_complete(node, future, timeout_sec=120)
    return [parameter_value_to_python(value) for value in future.result().values]


def test_arguments_reach_the_node_and_win_over_the_parameter_file(ros, launched):
    node = launched(
        "tracker.launch.py",
        "namespace:=uav1",
        f"params_file:={ROOT / 'config/uav.yaml'}",
        "model:=tiny",
        "device:=cpu",
        "autostart:=false",
        "thermal_transport:=compressed",
        "visible_image:=/camera/image_raw",
    )
    names = "model", "device", "autostart", "thermal.transport", "visible.transport", "tracker.lost_widening", "use_sim_time"
    assert parameters(ros, node, "/uav1", *names) == ["tiny", "cpu", False, "compressed", "raw", 3.0, False]


def test_the_image_topic_takes_its_camera_info_with_it(ros, launched, tmp_path):
    untrained = tmp_path / "untrained.yaml"
    untrained.write_text("/**: {ros__parameters: {weights: random, model: tiny}}")
    node = launched(
        "tracker.launch.py", f"params_file:={untrained}", "namespace:=topics", "visible_image:=/camera/image_raw"
    )
    wanted = {"/camera/image_raw", "/camera/camera_info", "/topics/thermal/image", "/topics/thermal/camera_info"}
    found = set()
    for _ in range(1200):
        ros.spin_once(node, timeout_sec=0.1)
        found = {name for name, _ in node.get_topic_names_and_types()}
        if wanted <= found:
            break
    assert wanted <= found


def test_a_replay_runs_on_the_time_of_the_bag(ros, launched):
    node = launched("replay.launch.py", "bag:=some_bag", "rviz:=false", "autostart:=false", "namespace:=replay")
    assert parameters(ros, node, "/replay", "use_sim_time") == [True]


def test_the_bag_is_played_once_the_node_is_active(ros, launched, tmp_path):
    from lifecycle_msgs.srv import GetState

    played = tmp_path / "played"
    player = tmp_path / "ros2"
    player.write_text(f'#!/bin/sh\necho "$@" >>{played}\n')
    player.chmod(0o755)
    untrained = tmp_path / "untrained.yaml"
    untrained.write_text("/**: {ros__parameters: {weights: random, model: tiny}}")
    node = launched(
        "replay.launch.py", "bag:=flight.mcap", "bag_options:=--loop", "rviz:=false", "namespace:=played",
        f"params_file:={untrained}",
    )
    deadline = time.monotonic() + 120
    while not (played.exists() and played.read_text().endswith("\n")):
        assert time.monotonic() < deadline, "the bag is not played"
        time.sleep(0.1)
    assert played.read_text().split() == ["bag", "play", "flight.mcap", "--clock", "--loop"]
    client = node.create_client(GetState, "/played/tpf_tracker/get_state")
    assert client.wait_for_service(120)
    future = client.call_async(GetState.Request())
    ros.spin_until_future_complete(node, future, timeout_sec=120)
    assert future.result().current_state.label == "active"


def test_a_replay_without_a_bag_says_what_is_missing():
    pytest.importorskip("launch_ros")
    command = [sys.executable, "-c", RUNNER, str(LAUNCH / "replay.launch.py")]
    finished = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert finished.returncode != 0 and "bag" in finished.stdout + finished.stderr
