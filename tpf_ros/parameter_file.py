"""The node's parameter file, read without ROS."""

import re
from collections.abc import Iterator
from pathlib import Path

import yaml

NODE = "tpf_tracker"
_ANY_NAMESPACE = re.compile(r"/\*\*?$|.*\*.*/")  # names of sections for nodes in several
OF_ROS = ("qos_overrides.", "use_sim_time", "start_type_description_service")  # parameters that rclpy itself has


class _Loader(yaml.SafeLoader):
    """Takes 1e-3 for a number, as ROS does."""


_EXPONENT = re.compile(r"[-+]?([0-9]+\.?[0-9]*|\.[0-9]+)[eE][-+]?[0-9]+$")
_Loader.add_implicit_resolver("tag:yaml.org,2002:float", _EXPONENT, list("-+.0123456789"))


def read_value(text: str) -> object:
    """One parameter's value, from YAML; ValueError where it is none."""
    try:
        return yaml.load(text, _Loader)
    except yaml.YAMLError as error:
        raise ValueError(f"{text!r} is not YAML: {' '.join(str(error).split())}") from error


def read_parameter_file(path: str | Path) -> dict:
    """{ROS name: value} of what a ROS 2 parameter file sets for the node, in whatever one namespace it is.

    Of several sections that fit, as '/**' and the node's own, the last one in the file wins, as in ROS. ValueError
    names the file and what is wrong with it; whether names and values are right is for `Settings` to say.
    """
    try:
        nodes = yaml.load(Path(path).read_text(), _Loader)
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ValueError(f"parameter file {path} cannot be read: {error}") from error
    sections = [(name, values) for name, values in _sections(nodes) if name.rsplit("/", 1)[1] in (NODE, "*", "**")]
    values = {name: value for _, section in sections for name, value in _flatten("", section)}
    if not values:
        wanted = f"'/**:' or '{NODE}:', and in it 'ros__parameters:'"
        raise ValueError(f"parameter file {path} sets nothing for {NODE}: it needs {wanted}")
    namespaces = {name.rsplit("/", 1)[0] for name, _ in sections if not _ANY_NAMESPACE.match(name)}
    if len(namespaces) > 1:
        raise ValueError(
            f"parameter file {path} is for several nodes: {', '.join(name for name, _ in sections)}; beside '/**' only "
            "the sections of one namespace are accepted"
        )
    return {name: value for name, value in values.items() if not name.startswith(OF_ROS)}


def _sections(nodes: object, above: str = "") -> Iterator[tuple[str, dict]]:
    """(full name, parameters) of each node; a namespace may be a level of its own."""
    for key, node in nodes.items() if isinstance(nodes, dict) else ():
        name = f"{above}/{str(key).strip('/')}"
        if isinstance(node, dict) and isinstance(node.get("ros__parameters"), dict):
            yield name, node["ros__parameters"]
        else:
            yield from _sections(node, name)


def _flatten(prefix: str, values: dict) -> Iterator[tuple[str, object]]:
    for key, value in values.items():
        if isinstance(value, dict):
            yield from _flatten(f"{prefix}{key}.", value)
        else:
            yield f"{prefix}{key}", value
