"""The files in config/ against the real node: parameter files, and the topics and fields that the layouts show."""

import json
from pathlib import Path

import pytest
import yaml

from tpf_ros.parameter_file import read_parameter_file

CONFIG = Path(__file__).resolve().parents[2] / "config"


@pytest.mark.parametrize("path", sorted(CONFIG.glob("*.yaml")), ids=lambda path: path.stem)
def test_the_node_takes_every_value_of_a_parameter_file(path, start_tracker):
    from rcl_interfaces.srv import GetParameters
    from rclpy.parameter import parameter_value_to_python

    wanted = read_parameter_file(path)
    tracker = start_tracker({"autostart": False}, ("--params-file", str(path)))
    response = tracker.call(GetParameters, "get_parameters", GetParameters.Request(names=list(wanted)))
    values = [parameter_value_to_python(value) for value in response.values]
    assert dict(zip(wanted, map(plain, values))) == wanted
    assert tracker.transition("configure"), tracker.log()
    assert "unknown parameter" not in tracker.log()


def plain(value):
    return list(value) if hasattr(value, "typecode") else value


@pytest.fixture(scope="module")
def names(start_tracker):
    """Topics and services of an active node, named as if it had no namespace."""
    tracker = start_tracker()
    tracker.wait_for_state("active")
    node, namespace = tracker.node, tracker.namespace

    def find():
        pairs = node.get_topic_names_and_types() + node.get_service_names_and_types()
        return {name.removeprefix(namespace) for name, _ in pairs}

    tracker.until(lambda: {"/visible/image", "/thermal/image"} <= find(), "the node's topics do not appear")
    return find()


def test_rviz_shows_topics_of_the_node(names):
    displays = yaml.safe_load((CONFIG / "tracker.rviz").read_text())["Visualization Manager"]["Displays"]
    shown = {display["Topic"]["Value"] for display in displays}
    assert len(shown) == 4 and shown <= names


def test_foxglove_shows_topics_and_fields_of_the_node(names):
    from tpf_interfaces.msg import TrackedTarget

    layout = json.loads((CONFIG / "tracker.foxglove.json").read_text())
    used = set(strings_below(layout, "imageTopic", "serviceName", "topicToRender"))
    paths = set(strings_below(layout, "value"))
    assert len(used) == 6 and used <= names
    assert {topic for topic, _, _ in (path.partition(".") for path in paths)} == {"/tpf_tracker/target"}
    assert {field for _, _, field in (path.partition(".") for path in paths)} <= set(TrackedTarget.get_fields_and_field_types())


def test_foxglove_places_every_panel():
    layout = json.loads((CONFIG / "tracker.foxglove.json").read_text())
    assert sorted(strings_below(layout["layout"], "first", "second")) == sorted(layout["configById"])


def strings_below(tree, *keys):
    """All strings that stand under one of `keys`, however deep."""
    if isinstance(tree, list):
        for item in tree:
            yield from strings_below(item, *keys)
    elif isinstance(tree, dict):
        for key, value in tree.items():
            if key in keys and isinstance(value, str):
                yield value
            yield from strings_below(value, *keys)
