"""Starts the tracker; with `bag:=` also a player for that bag, with `rviz:=true` also RViz.

An argument that is left empty keeps what the parameter file, or else the node's default, says.
"""

from pathlib import Path

from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument, ExecuteProcess, OpaqueFunction, RegisterEventHandler
from launch.event_handlers import OnProcessIO
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import LifecycleNode, Node

from tpf_ros.dds_profile import image_profile

CONFIG = Path(__file__).resolve().parents[1] / "config"
ACTIVE = b"ready: waiting for images"  # what the node says in its log

# name: (default, description)
ARGUMENTS = {
    "namespace": ("", "of the node and of its topics"),
    "params_file": ("", "parameter file, see config/"),
    "model": ("", "auto, or a model variant: `tpf info`"),
    "device": ("", "auto, cpu, cuda or cuda:N"),
    "visible_image": ("", "topic of the visible images, without /compressed; default: visible/image"),
    "thermal_image": ("", "topic of the thermal images, without /compressed; default: thermal/image"),
    "visible_transport": ("", "raw or compressed"),
    "thermal_transport": ("", "raw or compressed"),
    "autostart": ("", "true or false: configure and activate at once"),
    "use_sim_time": ("", "true or false; default: true with a bag"),
    "rviz": ("false", "true or false: start RViz on the node's topics"),
    "bag": ("", "rosbag to play once the node is active"),
    "bag_options": ("", "more options for `ros2 bag play`, for instance '--loop --rate 0.5'"),
}
# Arguments that are parameters of the node: {argument: parameter}.
PARAMETERS = {
    "model": "model",
    "device": "device",
    "visible_transport": "visible.transport",
    "thermal_transport": "thermal.transport",
    "autostart": "autostart",
}


def generate_launch_description():
    arguments = [
        DeclareLaunchArgument(name, default_value=default, description=description)
        for name, (default, description) in ARGUMENTS.items()
    ]
    return LaunchDescription([*arguments, OpaqueFunction(function=_actions)])


def _actions(context):
    given = {name: LaunchConfiguration(name).perform(context) for name in ARGUMENTS}
    tracker = LifecycleNode(
        package="tpf_ros",
        executable="tpf_tracker",
        name="tpf_tracker",
        namespace=given["namespace"],
        parameters=_parameters(given),
        remappings=_remappings(given),
        additional_env=image_profile(),  # its debug image would fill the segment that ~/target takes, too
        output="screen",
    )
    actions = [tracker]
    if given["bag"]:
        actions.insert(0, RegisterEventHandler(_once_active(tracker, _bag_player(given))))
    if _flag(given, "rviz"):
        actions.append(_rviz(given))
    return actions


def _parameters(given):
    values = {parameter: given[argument] for argument, parameter in PARAMETERS.items() if given[argument]}
    if "autostart" in values:
        values["autostart"] = _flag(given, "autostart")
    if given["use_sim_time"]:
        values["use_sim_time"] = _flag(given, "use_sim_time")
    elif given["bag"]:
        values["use_sim_time"] = True
    return [*([given["params_file"]] if given["params_file"] else []), values]


def _remappings(given):
    """The image topics; camera_info is beside the image, as everywhere in ROS."""
    remappings = []
    for camera in ("visible", "thermal"):
        topic = given[f"{camera}_image"]
        if topic:
            parent, slash, _ = topic.rpartition("/")
            remappings += [
                (f"{camera}/image", topic),
                (f"{camera}/image/compressed", f"{topic}/compressed"),
                (f"{camera}/camera_info", f"{parent}{slash}camera_info"),
            ]
    return remappings


def _once_active(tracker, player):
    """Transition events are sent once, and lost where discovery takes longer than loading the model; the log is not."""
    waiting = [player]

    def listen(event):
        return waiting.pop() if waiting and ACTIVE in event.text else None

    return OnProcessIO(target_action=tracker, on_stdout=listen, on_stderr=listen)


def _bag_player(given):
    """--clock, because the node's time is the bag's; the Fast DDS profile, because it is the player that sends images."""
    command = ["ros2", "bag", "play", given["bag"], "--clock", *given["bag_options"].split()]
    return ExecuteProcess(cmd=command, additional_env=image_profile(), output="screen")


def _rviz(given):
    """RViz's file names the topics of a node without a namespace; here they become those of this one."""
    namespace = given["namespace"].strip("/")
    prefix = f"/{namespace}" if namespace else ""
    remappings = [
        (f"/{camera}/image", given[f"{camera}_image"] or f"{prefix}/{camera}/image") for camera in ("visible", "thermal")
    ]
    remappings += [
        (f"/tpf_tracker/{topic}", f"{prefix}/tpf_tracker/{topic}") for topic in ("debug_image", "fused_image")
    ]
    return Node(
        package="rviz2",
        executable="rviz2",
        namespace=given["namespace"],
        arguments=["-d", str(CONFIG / "tracker.rviz")],
        remappings=remappings,
    )


def _flag(given, name):
    if given[name] not in ("true", "false"):
        raise ValueError(f"{name} is {given[name]!r}, must be true or false")
    return given[name] == "true"
