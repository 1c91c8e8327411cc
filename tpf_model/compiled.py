"""The compiled kernels, which may be missing, or left over from an older or newer source."""

import importlib
from types import ModuleType


def load_kernel(name: str, interface: int) -> tuple[ModuleType | None, str]:
    """The extension module `name`, or None and why it cannot be used.

    interface: its constant INTERFACE, which counts the changes of what its functions are called with.
    """
    try:
        kernel = importlib.import_module(name)
    except ImportError as error:
        return None, f"it was not compiled when tpf_ros was installed ({error})"
    found = getattr(kernel, "INTERFACE", 0)
    if found != interface:
        return None, (
            f"{kernel.__file__} is not compiled from this source (its interface is {found}, not {interface}): "
            "install tpf_ros again, by `make setup`, `pip install -e .` or `colcon build`"
        )
    return kernel, ""
