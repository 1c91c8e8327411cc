"""The parameters of `parameters.py` on a ROS node: declared with descriptors, changed only as a valid whole."""

from collections.abc import Callable
from typing import Any

from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor, SetParametersResult
from rclpy.exceptions import InvalidParameterTypeException, InvalidParameterValueException
from rclpy.node import Node
from rclpy.parameter import Parameter

from tpf_ros.parameter_file import OF_ROS
from tpf_ros.parameters import ParameterInfo, Settings, SettingsError, parameters, unknown_parameter


class NodeParameters:
    """Declares the parameters on `node` and keeps the last accepted `values`.

    Parameters that are not `live` are refused while `is_configured()`. `on_change(settings)` is called with each new
    valid set. What the user got wrong before the node started is in `start_errors` until that parameter is set.
    """

    def __init__(self, node: Node, is_configured: Callable[[], bool], on_change: Callable[[Settings], None]):
        self._node = node
        self._is_configured = is_configured
        self._on_change = on_change
        self._infos = {info.name: info for info in parameters()}
        self.start_errors: dict[str, str] = {}
        self.values: dict[str, Any] = {}
        for info in self._infos.values():
            self.values[info.name] = self._declare(info)
        self._find_unknown()
        node.add_on_set_parameters_callback(self._check)
        node.add_post_set_parameters_callback(self._accept)

    def settings(self) -> Settings:
        """The present set, typed; SettingsError where it is not valid as a whole or was wrong from the start."""
        if self.start_errors:
            raise SettingsError(list(self.start_errors.values()))
        return Settings.from_values(self.values)

    def _declare(self, info: ParameterInfo) -> Any:
        default = list(info.default) if isinstance(info.default, tuple) else info.default
        try:
            return self._node.declare_parameter(info.name, default, _descriptor(info)).value
        except (InvalidParameterTypeException, InvalidParameterValueException) as error:
            # The node lives, unconfigured, until someone sets a good value.
            self.start_errors[info.name] = str(error)
            return self._node.declare_parameter(info.name, default, _descriptor(info), ignore_override=True).value

    def _find_unknown(self) -> None:
        """rclpy ignores what nobody declares, so a typing error in a parameter file would go unseen."""
        for name in self._node._parameter_overrides:
            if name not in self._infos and not name.startswith(OF_ROS):
                self._node.get_logger().warning(f"{unknown_parameter(name)}; it is ignored")

    def _check(self, changes: list[Parameter]) -> SetParametersResult:
        changed = _values(changes, self._infos)
        problems = self._immutable(changed) or (_problems({**self.values, **changed}) - _problems(self.values))
        return SetParametersResult(successful=not problems, reason="; ".join(sorted(problems)))

    def _accept(self, changes: list[Parameter]) -> None:
        changed = _values(changes, self._infos)
        if not changed:
            return
        self.values.update(changed)
        for name in changed:
            self.start_errors.pop(name, None)
        # What was wrong before and still is keeps the node unconfigured, but not from being put right bit by bit.
        if not _problems(self.values):
            self._on_change(Settings.from_values(self.values))

    def _immutable(self, changed: dict[str, Any]) -> set[str]:
        if not self._is_configured():
            return set()
        return {
            f"{name} cannot change while the node is configured: deactivate it and clean it up first"
            for name, value in changed.items()
            if not self._infos[name].live and value != self.values[name]
        }


def _problems(values: dict[str, Any]) -> frozenset[str]:
    try:
        Settings.from_values(values)
    except SettingsError as error:
        return error.problems
    return frozenset()


def _values(changes: list[Parameter], known: dict[str, ParameterInfo]) -> dict[str, Any]:
    return {change.name: change.value for change in changes if change.name in known}


def _descriptor(info: ParameterInfo) -> ParameterDescriptor:
    descriptor = ParameterDescriptor(description=info.description, read_only=info.read_only)
    # To ROS 1 is no floating point number, nor [0, 1] a list of them; `ParameterInfo.check` knows better.
    descriptor.dynamic_typing = isinstance(info.default, (float, tuple))
    if info.choices:
        descriptor.additional_constraints = f"one of: {', '.join(info.choices)}"
    if not info.live:
        descriptor.additional_constraints += "; " if descriptor.additional_constraints else ""
        descriptor.additional_constraints += "changes only while the node is unconfigured"
    if info.low is not None and isinstance(info.default, int):
        descriptor.integer_range = [IntegerRange(from_value=info.low, to_value=info.high)]
    elif info.low is not None and isinstance(info.default, float):
        descriptor.floating_point_range = [FloatingPointRange(from_value=float(info.low), to_value=float(info.high))]
    return descriptor
