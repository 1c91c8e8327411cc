import pytest

from tpf_ros.parameter_file import read_parameter_file


def write(path, text: str):
    path.write_text(text)
    return path


def test_nested_names_become_the_nodes_and_those_of_ros_are_left_out(tmp_path):
    path = write(
        tmp_path / "uav.yaml",
        """
/**:
  ros__parameters:
    model: tiny
    use_sim_time: true
    sync: {max_difference: 0.03}
    qos_overrides: {/visible/image: {subscription: {depth: 2}}}
/uav/tpf_tracker:
  ros__parameters:
    thermal.normalisation: full
/uav/camera:
  ros__parameters: {model: other}
""",
    )
    assert read_parameter_file(path) == {"model": "tiny", "sync.max_difference": 0.03, "thermal.normalisation": "full"}


@pytest.mark.parametrize(
    ("text", "model"),
    [
        ("/**: {ros__parameters: {model: tiny}}\ntpf_tracker: {ros__parameters: {model: small}}", "small"),
        ("/tpf_tracker: {ros__parameters: {model: small}}\n/**: {ros__parameters: {model: tiny}}", "tiny"),
        ("/uav/tpf_tracker: {ros__parameters: {model: small}}\n/uav/**: {ros__parameters: {model: tiny}}", "tiny"),
        ("uav: {tpf_tracker: {ros__parameters: {model: small}}, camera: {ros__parameters: {model: tiny}}}", "small"),
        ("/**/tpf_tracker: {ros__parameters: {model: tiny}}\n/a/tpf_tracker: {ros__parameters: {threads: 1}}", "tiny"),
    ],
)
def test_of_several_sections_for_the_node_the_last_one_wins_as_in_ros(tmp_path, text, model):
    assert read_parameter_file(write(tmp_path / "uav.yaml", text))["model"] == model


def test_sections_for_nodes_in_several_namespaces_are_an_error_that_names_them(tmp_path):
    sections = ("/**", "/uav1/tpf_tracker", "/uav2/tpf_tracker")
    text = "\n".join(f"{name}: {{ros__parameters: {{model: tiny}}}}" for name in sections)
    with pytest.raises(ValueError, match=r"two\.yaml is for .*: /\*\*, /uav1/tpf_tracker, /uav2/tpf_tracker; "):
        read_parameter_file(write(tmp_path / "two.yaml", text))


def test_numbers_are_those_that_ros_takes_for_numbers(tmp_path):
    text = "/**: {ros__parameters: {a: 1e-3, b: 2.0E5, c: -.5e+1, d: 1e, e: '1e-3'}}"
    values = read_parameter_file(write(tmp_path / "uav.yaml", text))
    assert values == {"a": 0.001, "b": 200000.0, "c": -5.0, "d": "1e", "e": "1e-3"}


@pytest.mark.parametrize(
    "text", ["", "model: tiny", "camera: {ros__parameters: {model: tiny}}", "/**: {ros__parameters: 5}", "a: [1"]
)
def test_a_file_that_sets_nothing_is_an_error_that_names_it(tmp_path, text):
    with pytest.raises(ValueError, match=r"bad\.yaml"):
        read_parameter_file(write(tmp_path / "bad.yaml", text))
