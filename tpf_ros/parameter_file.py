"""The node's parameter file, read without ROS."""

from collections.abc import Iterator
from pathlib import Path

import yaml

NODE = "tpf_tracker"
_OF_ROS = ("qos_overrides.", "use_sim_time")  # parameters that rclpy itself has


def read_parameter_file(path: str | Path) -> dict:
    """{ROS name: value} of what a ROS 2 parameter file sets for the node, in whatever namespace it is.

    ValueError names the file and what is wrong with it; whether names and values are right is for `Settings` to say.
    """
    try:
        nodes = yaml.safe_load(Path(path).read_text())
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ValueError(f"parameter file {path} cannot be read: {error}") from error
    values = {}
    for name, node in nodes.items() if isinstance(nodes, dict) else ():
        if name.rsplit("/", 1)[-1] in (NODE, "**") and isinstance(node, dict):
            values.update(_flatten("", node.get("ros__parameters") or {}))
    if not values:
        wanted = f"'/**:' or '{NODE}:', and in it 'ros__parameters:'"
        raise ValueError(f"parameter file {path} sets nothing for {NODE}: it needs {wanted}")
    return {name: value for name, value in values.items() if not name.startswith(_OF_ROS)}


def _flatten(prefix: str, values: dict) -> Iterator[tuple[str, object]]:
    for key, value in values.items():
        if isinstance(value, dict):
            yield from _flatten(f"{prefix}{key}.", value)
        else:
            yield prefix + key, value
