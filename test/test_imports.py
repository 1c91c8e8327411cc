"""Who may import whom: tpf_interfaces <- tpf_ros -> tpf_model <- tpf_training, and tpf_model knows no ROS."""

import ast
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
OURS = {"tpf_interfaces", "tpf_model", "tpf_ros", "tpf_training"}
FOLDERS = {"tpf_model": ROOT / "tpf_model", "tpf_ros": ROOT / "tpf_ros", "tpf_training": ROOT / "training/tpf_training"}
MAY_IMPORT = {"tpf_model": set(), "tpf_ros": {"tpf_model", "tpf_interfaces"}, "tpf_training": {"tpf_model"}}
# All that a robot needs for the model, and what is optional: scan kernels, runtimes.
MODEL_LIBRARIES = {"cv2", "numpy", "safetensors", "torch", "yaml"} | {"mamba_ssm", "triton"}
MODEL_LIBRARIES |= {"onnx", "onnxruntime"}
ROS_LIBRARIES = {"ament_index_python", "cv_bridge", "launch", "launch_ros", "message_filters", "rclpy", "rosidl_runtime_py"}


def imported_packages(source: str) -> set[str]:
    """Top-level names of all absolute imports, wherever in the file they stand, `import_module("name")` included."""
    names = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            names.add(node.module)
        elif isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
            called = getattr(node.func, "attr", getattr(node.func, "id", ""))
            if called in ("import_module", "__import__", "find_spec"):
                names.add(str(node.args[0].value))
    return {name.partition(".")[0] for name in names}


def imports_of(package: str) -> dict[str, set[str]]:
    """{path below the root: the packages that file imports}; without the package itself and the standard library."""
    files = sorted(FOLDERS[package].rglob("*.py"))
    assert files, f"no Python file in {FOLDERS[package]}"
    return {
        str(file.relative_to(ROOT)): imported_packages(file.read_text()) - {package} - sys.stdlib_module_names
        for file in files
    }


@pytest.mark.parametrize("package", FOLDERS)
def test_only_allowed_packages_of_the_project_are_imported(package):
    forbidden = OURS - {package} - MAY_IMPORT[package]
    assert {file: names & forbidden for file, names in imports_of(package).items() if names & forbidden} == {}


def test_the_model_needs_only_its_few_libraries():
    wrong = {file: names - MODEL_LIBRARIES for file, names in imports_of("tpf_model").items()}
    assert {file: names for file, names in wrong.items() if names} == {}


def test_the_training_package_needs_no_ros():
    wrong = {
        file: {name for name in names if name in ROS_LIBRARIES or name.endswith(("_msgs", "_srvs", "_interfaces"))}
        for file, names in imports_of("tpf_training").items()
    }
    assert {file: names for file, names in wrong.items() if names} == {}


def test_an_import_is_found_wherever_it_stands():
    source = "import a.b as c\nfrom . import own\ndef f():\n    from d.e import g\n    import_module('h.i')\n"
    assert imported_packages(source) == {"a", "d", "h"}
