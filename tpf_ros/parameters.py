"""The node's parameters: names, defaults, descriptions, ranges, and their validation as one set.

`Settings` is the typed form of all of them; a parameter's ROS name is the path to its field, for instance
`sync.max_difference`. Nothing here knows rclpy, so the same checks serve the node, tests and tools.
"""

import dataclasses
import difflib
import importlib.util
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from tpf_model.config import AUTO, variant_names
from tpf_model.normalise import MODES, ThermalNormaliser
from tpf_model.registration import Registration
from tpf_model.runtime import RUNTIMES, TPFSession, open_session
from tpf_model.tracker import TrackerConfig
from tpf_ros.modality_health import HealthConfig
from tpf_ros.synchroniser import POLICIES, Synchroniser, open_synchroniser


class SettingsError(ValueError):
    """Parameters that cannot be used. Each of `problems` names the parameter and what would be accepted."""

    def __init__(self, problems: list[str]):
        super().__init__("; ".join(problems))
        self.problems = frozenset(problems)


@dataclass(frozen=True)
class ParameterInfo:
    """One parameter: `low`/`high` bound every number in it, `live` ones may change while the node is configured."""

    name: str
    default: Any
    description: str
    low: float | None = None
    high: float | None = None
    choices: tuple[str, ...] = ()
    length: int | None = None  # of a list
    live: bool = True
    read_only: bool = False

    def check(self, value: Any) -> Any:
        """Return `value` in the parameter's type, or raise ValueError."""
        if isinstance(self.default, tuple):
            return self._check_list(value)
        if isinstance(self.default, float) and type(value) is int:
            value = float(value)
        if type(value) is not type(self.default):
            raise ValueError(f"{self.name} is {value!r}, must be of type {type(self.default).__name__}")
        if self.choices and value not in self.choices:
            raise ValueError(f"{self.name} is {value!r}, must be one of: {', '.join(self.choices)}")
        self._check_range(value)
        return value

    def _check_list(self, value: Any) -> tuple[float, ...]:
        try:
            numbers = tuple(float(number) for number in value)
        except (TypeError, ValueError):
            raise ValueError(f"{self.name} is {value!r}, must be a list of numbers") from None
        if len(numbers) != self.length:
            raise ValueError(f"{self.name} has {len(numbers)} numbers, must have {self.length}")
        for number in numbers:
            self._check_range(number)
        return numbers

    def _check_range(self, value: Any) -> None:
        if isinstance(value, float) and not math.isfinite(value):
            raise ValueError(f"{self.name} is {value}, must be finite")
        if self.low is not None and not self.low <= value <= self.high:
            raise ValueError(f"{self.name} is {value:g}, must be from {self.low:g} to {self.high:g}")


def _parameter(default: Any, description: str, **info: Any) -> Any:
    return dataclasses.field(default=default, metadata={"description": description, **info})


_IDENTITY = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0)
MAX_OFFSET = 60.0  # s, of sync.thermal_offset
_TRANSPORT = {"choices": ("raw", "compressed"), "live": False}
_RECTIFIED = "The {} images are rectified (image_rect): of their camera_info P counts, not K and D."


@dataclass(frozen=True)
class VisibleSettings:
    transport: str = _parameter("raw", "Visible input: sensor_msgs/Image, or CompressedImage.", **_TRANSPORT)
    rectified: bool = _parameter(False, _RECTIFIED.format("visible"), live=False)


@dataclass(frozen=True)
class ThermalSettings:
    transport: str = _parameter("raw", "Thermal input: sensor_msgs/Image, or CompressedImage.", **_TRANSPORT)
    rectified: bool = _parameter(False, _RECTIFIED.format("thermal"), live=False)
    normalisation: str = _parameter(
        "percentile",
        "How thermal images become 8 bit: by smoothed percentiles (those of more than 8 bit only), fixed limits, or "
        "each image's full range.",
        choices=MODES,
    )
    percentiles: tuple[float, ...] = _parameter(
        (2.0, 98.0), "Percentiles that become black and white.", length=2, low=0.0, high=100.0
    )
    limits: tuple[float, ...] = _parameter(
        (0.0, 65535.0), "Raw values that become black and white where thermal.normalisation is fixed.", length=2
    )


@dataclass(frozen=True)
class SyncSettings:
    policy: str = _parameter(
        "nearest",
        "Pairing of the two streams: nearest stamp (ours), or message_filters' ApproximateTimeSynchronizer.",
        choices=POLICIES,
        live=False,
    )
    max_difference: float = _parameter(
        0.02, "Largest difference of the stamps of a pair, s, after sync.thermal_offset.", low=0.0, high=10.0
    )
    thermal_offset: float = _parameter(
        0.0,
        "Added to thermal stamps, s: by how much that clock is behind the visible one.",
        low=-MAX_OFFSET,
        high=MAX_OFFSET,
    )


@dataclass(frozen=True)
class RegistrationSettings:
    method: str = _parameter(
        "identity",
        "Where a thermal pixel lies in the visible image: identity (same field of view), homography, "
        "or plane (from both camera_info topics and a plane at registration.plane_distance).",
        choices=("identity", "homography", "plane"),
    )
    homography: tuple[float, ...] = _parameter(
        _IDENTITY, "3x3 matrix, row by row, from thermal to visible pixels.", length=9
    )
    plane_distance: float = _parameter(
        20.0, "Distance of the scene from the thermal camera, along its axis, m.", low=0.01, high=100000.0
    )
    rotation: tuple[float, ...] = _parameter(
        _IDENTITY, "3x3 rotation, row by row, from the thermal to the visible camera frame.", length=9
    )
    translation: tuple[float, ...] = _parameter(
        (0.0, 0.0, 0.0), "Position of the thermal camera in the visible camera frame, m.", length=3
    )


@dataclass(frozen=True)
class FusedImageSettings:
    region: str = _parameter(
        "search",
        "What ~/fused_image shows: the search region that the tracker sees (free), or the whole frame "
        "(costs a pass of the fusion adapter over it).",
        choices=("search", "frame"),
    )


@dataclass(frozen=True)
class OutputSettings:
    timeout: float = _parameter(
        0.5, "Without a new pair for this long, s, ~/target says so at this period.", low=0.05, high=60.0
    )


@dataclass(frozen=True)
class BufferSettings:
    duration: float = _parameter(
        3.0,
        "How far back ~/init can reach, s, as long as buffer.memory holds the images.",
        low=0.1,
        high=30.0,
        live=False,
    )
    memory: int = _parameter(
        256,
        "What the images for that may take, MB: 195 pairs of 640x512, 39 of 1920x1080 with 640x512.",
        low=1,
        high=100_000,
        live=False,
    )


@dataclass(frozen=True)
class ClickSettings:
    size: float = _parameter(48.0, "Side of the box that a point on ~/click stands for, px.", low=2.0, high=4096.0)


# Groups whose dataclass is another module's: description and range of each field.
_DESCRIBED = {
    "tracker.template_interval": ("Frames between two updates of the dynamic template.", 1, 100000),
    "tracker.template_score": ("A frame whose score exceeds it may become the dynamic template.", 0.0, 1.0),
    "tracker.hann_power": ("How strongly the target is expected where it was; 0: not at all, 1: as OSTrack.", 0.0, 9.0),
    "tracker.filter_rate": (
        "How much the correlation filter, which tells the target from look-alikes, and the scale filter, which says "
        "how its size changes, learn from a frame after 1/30 s; from one after longer, more. 0: no filters. From the "
        "next target on.",
        0.0,
        1.0,
    ),
    "tracker.coast_score": (
        "Below this score the box is not believed: it is where the target is expected. Where it is further off than "
        "a target goes in the time, the score must reach tracker.recover_score, or the target's in the first frame "
        "if that is lower, unless the correlation filter sees the target there (by tracker.filter_trust) and no "
        "longer where it was: that counts as near ...",
        0.0,
        1.0,
    ),
    "tracker.filter_trust": (
        "... unless it is near and its score at least half of that, or less for a target with a low score in the first "
        "frame, and the correlation filter responds to the target as it usually does, to this part at least, or to 0.7 "
        "of it for a target that scores below 0.3 even in the first frame; 9: never.",
        0.01,
        9.0,
    ),
    "tracker.crossing_frames": (
        "Frames for which a look-alike that vanished into the target is awaited on its other side, to go back to the "
        "target should the box have gone on with it. 0: look-alikes are not followed at all, nor compared with the "
        "target by the correlation filter.",
        0,
        100000,
    ),
    "tracker.camera_motion": (
        "Whether the box, as far as the target did before, and where look-alikes were seen go with the camera's own "
        "motion, which the target's surroundings show. It matters most where the box is not believed.",
    ),
    "tracker.lost_after": ("Frames of coasting before the target is lost.", 0, 100000),
    "tracker.lost_growth": ("By how much the searched region's side grows in each lost frame.", 1.0, 8.0),
    "tracker.lost_widening": ("The limit of that growth, after which it begins again.", 1.0, 8.0),
    "tracker.recover_score": ("A lost target must reach this score ...", 0.0, 1.0),
    "tracker.recover_frames": ("... in so many frames in a row.", 1, 100000),
    "tracker.max_size_change": ("Limit of the box's change of a side from frame to frame, a ratio.", 1.01, 10.0),
    "tracker.size_rate": (
        "How far the box's size follows the network's in a frame after 1/30 s, a power of their ratio; in one after "
        "longer, further. Where the scale filter says how the size changes, a quarter of it, but for the ratio of "
        "width to height.",
        0.01,
        1.0,
    ),
    "tracker.size_calibration": (
        "How much of the error of the size that the network gives the first box is made up for in all later ones. From "
        "the next target on.",
        0.0,
        1.0,
    ),
}


def _group(kind: type) -> Any:
    return dataclasses.field(default_factory=kind)


@dataclass(frozen=True)
class Settings:
    """All parameters of the node, checked as a set. See `parameters()` for their ROS names."""

    model: str = _parameter(
        AUTO,
        "Model variant, see `tpf info`; auto: the one that the `weights` file holds, without a file tiny on a CPU and "
        "small on a GPU.",
        choices=(AUTO, *variant_names()),
        live=False,
    )
    weights: str = _parameter(
        "",
        "Weights file (.safetensors, or .onnx of `tpf export`); empty: the ones that ship; random: untrained, for "
        "tests.",
        live=False,
    )
    device: str = _parameter("auto", "auto, cpu, cuda, or cuda:N.", live=False)
    runtime: str = _parameter(
        "auto",
        "How the network is executed: auto (cuda_graph on a GPU, onnx for .onnx weights, else eager), eager (PyTorch "
        "as it is), cuda_graph, or onnx (ONNX Runtime, on the CPU).",
        choices=RUNTIMES,
        live=False,
    )
    scan: str = _parameter(
        "auto",
        "Selective scan backend: auto (the fastest that runs), native, triton, mamba, blocked or reference.",
        live=False,
    )
    precision: str = _parameter(
        "auto",
        "Numeric precision of encoder and head: auto, float32, bfloat16 or float16; with runtime onnx auto (float32, "
        "or that of an .onnx file), float32 or int8.",
        live=False,
    )
    threads: int = _parameter(
        0,
        "CPU threads of the model; 0: all cores but one, which the images need (offline: all).",
        low=0,
        high=256,
        live=False,
    )
    autostart: bool = _parameter(True, "Configure and activate without being asked.", read_only=True)
    visible: VisibleSettings = _group(VisibleSettings)
    thermal: ThermalSettings = _group(ThermalSettings)
    sync: SyncSettings = _group(SyncSettings)
    registration: RegistrationSettings = _group(RegistrationSettings)
    tracker: TrackerConfig = _group(TrackerConfig)
    health: HealthConfig = _group(HealthConfig)
    fused_image: FusedImageSettings = _group(FusedImageSettings)
    output: OutputSettings = _group(OutputSettings)
    buffer: BufferSettings = _group(BufferSettings)
    click: ClickSettings = _group(ClickSettings)

    @classmethod
    def from_values(cls, values: dict[str, Any]) -> "Settings":
        """Build from {ROS name: value}; what is left out has its default. Raises SettingsError with every problem."""
        problems = [unknown_parameter(name) for name in values if name not in {info.name for info in parameters()}]
        checked = {}
        for info in parameters():
            try:
                checked[info.name] = info.check(values.get(info.name, info.default))
            except ValueError as error:
                problems.append(str(error))
                checked[info.name] = info.default  # so that the rest is checked too
        settings, more = _build(checked)
        if problems + more:
            raise SettingsError(problems + more)
        return settings


def unknown_parameter(name: str) -> str:
    """What to tell the user of a parameter that does not exist."""
    near = difflib.get_close_matches(name, [info.name for info in parameters()], n=1)
    return f"unknown parameter {name!r}" + (f"; did you mean {near[0]!r}?" if near else "")


def parameters(kind: type = Settings, prefix: str = "") -> Iterator[ParameterInfo]:
    """All parameters, in declaration order."""
    for field in dataclasses.fields(kind):
        if dataclasses.is_dataclass(field.type):
            yield from parameters(field.type, f"{prefix}{field.name}.")
        else:
            name = prefix + field.name
            info = field.metadata or dict(zip(("description", "low", "high"), _DESCRIBED[name]))
            yield ParameterInfo(name=name, default=field.default, **info)


def _build(values: dict[str, Any]) -> tuple[Settings, list[str]]:
    """The settings of values that are right one by one, and what is wrong with them as a set."""
    problems = []
    arguments = {}
    for field in dataclasses.fields(Settings):
        if not dataclasses.is_dataclass(field.type):
            arguments[field.name] = values[field.name]
            continue
        group = {item.name: values[f"{field.name}.{item.name}"] for item in dataclasses.fields(field.type)}
        try:
            arguments[field.name] = field.type(**group)
        except ValueError as error:  # a rule of the group's own
            problems.append(str(error))
    settings = Settings(**arguments)
    for check in (_check_policy, make_normaliser, _check_registration):
        try:
            check(settings)
        except ValueError as error:
            problems.append(str(error))
    return settings, problems


def _check_policy(settings: Settings) -> None:
    if settings.sync.policy == "message_filters" and importlib.util.find_spec("message_filters") is None:
        raise ValueError("sync.policy is 'message_filters', but that package is not installed; use 'nearest'")


def _check_registration(settings: Settings) -> None:
    Registration.homography(settings.registration.homography)
    make_registration(settings, np.eye(3), np.eye(3))


def make_session(settings: Settings, threads: int) -> TPFSession:
    """The session that `settings` ask for, but for `threads`; errors: see `open_session`."""
    s = settings
    return open_session(s.model, s.device, s.runtime, s.weights or None, threads, s.scan, s.precision)


def make_synchroniser(settings: Settings) -> Synchroniser:
    """The synchroniser that `settings` ask for."""
    seconds = (settings.sync.max_difference, settings.sync.thermal_offset, settings.health.silent_after)
    return open_synchroniser(settings.sync.policy, *(round(value * 1e9) for value in seconds))


def make_normaliser(settings: Settings) -> ThermalNormaliser:
    """The thermal normaliser that `settings` ask for."""
    thermal = settings.thermal
    return ThermalNormaliser(thermal.normalisation, thermal.percentiles, thermal.limits)


def make_registration(settings: Settings, K_visible=None, K_thermal=None) -> Registration | None:
    """The registration that `settings` ask for; None while method plane lacks a camera matrix (3, 3)."""
    registration = settings.registration
    if registration.method == "identity":
        return Registration.identity()
    if registration.method == "homography":
        return Registration.homography(registration.homography)
    if K_visible is None or K_thermal is None:
        return None
    return Registration.plane(
        K_visible, K_thermal, registration.rotation, registration.translation, registration.plane_distance
    )

