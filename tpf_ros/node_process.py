"""The tracker node as a process of its own, brought to ACTIVE through its lifecycle services."""

import json
import sys
import time
from pathlib import Path

from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState

from tpf_ros.child_process import ChildProcess
from tpf_ros.parameter_file import NODE


def start_node(
    log: Path,
    namespace: str = "/",
    parameters: dict[str, object] | None = None,
    params_file: Path | None = None,
) -> ChildProcess:
    """Start the node, unconfigured. `parameters` (values by name) win over those of `params_file`."""
    command = [sys.executable, "-m", "tpf_ros", "--ros-args", "-r", f"__ns:={namespace}"]
    if params_file is not None:
        command += ["--params-file", str(params_file)]
    for name, value in {**(parameters or {}), "autostart": False}.items():
        command += ["-p", f"{name}:={json.dumps(value, ensure_ascii=False, default=str)}"]  # JSON is YAML
    return ChildProcess("node", command, log)


def activate(observer, process: ChildProcess, namespace: str = "/", timeout: float = 120.0) -> None:
    """Configure and activate the node, seen from the rclpy node `observer`, which is in an executor.

    ChildFailed with the end of the node's log when the process ends, refuses a transition or takes longer than
    `timeout` seconds.
    """
    client = observer.create_client(ChangeState, f"{namespace.rstrip('/')}/{NODE}/change_state")
    deadline = time.monotonic() + timeout
    try:
        _until(observer, process, client.service_is_ready, deadline, "does not appear on DDS")
        for transition, state in (
            (Transition.TRANSITION_CONFIGURE, "INACTIVE"),
            (Transition.TRANSITION_ACTIVATE, "ACTIVE"),
        ):
            request = ChangeState.Request(transition=Transition(id=transition))
            future = client.call_async(request)
            _until(observer, process, future.done, deadline, f"did not become {state} within {timeout:g} s")
            if not future.result().success:
                raise process.failure(f"refused to become {state}")
    finally:
        observer.destroy_client(client)


def _until(observer, process: ChildProcess, condition, deadline: float, complaint: str) -> None:
    """Spin `observer` until `condition()`; ChildFailed when the process ends first or at the deadline."""
    while not condition():
        process.check()
        if time.monotonic() > deadline:
            raise process.failure(complaint)
        observer.executor.spin_once(0.05)
