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


@pytest.mark.parametrize("text", ["", "model: tiny", "camera: {ros__parameters: {model: tiny}}", "a: [1"])
def test_a_file_that_sets_nothing_is_an_error_that_names_it(tmp_path, text):
    with pytest.raises(ValueError, match=r"bad\.yaml"):
        read_parameter_file(write(tmp_path / "bad.yaml", text))
