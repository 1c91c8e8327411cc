"""What a replay is asked to do, and what it brought. Stamps and times in ns, boxes in pixels of the visible image."""

from dataclasses import dataclass, field
from pathlib import Path

from tpf_model.boxes import Box
from tpf_ros.parameter_file import read_parameter_file, read_value


@dataclass(frozen=True)
class Plan:
    """What to replay. Frames are numbered as the true boxes are; the bag's first visible image is `first_frame`."""

    bag: Path
    visible: str  # image topics in the bag
    thermal: str
    init_box: Box
    init_frame: int
    out: Path
    first_frame: int = 0
    namespace: str = "/"
    params_file: Path | None = None
    parameters: dict[str, str] = field(default_factory=dict)  # the node's, by name; they win over params_file
    rate: float = 1.0
    passes: int = 1  # over the bag, each with a new initialisation; 0 = until `duration`
    duration: float = 0.0  # s; 0 = until the passes are over
    offline: bool = False  # tracked here, without DDS and a node: every pair, however long that takes

    def parameter_values(self) -> dict:
        """Values by name of all of the node's parameters that are set; ValueError names a file that is none of them."""
        values = read_parameter_file(self.params_file) if self.params_file else {}
        return values | {name: read_value(text) for name, text in self.parameters.items()}


@dataclass(frozen=True)
class Sent:
    """One image as the player published it. Offline, all times are the recording's stamps."""

    frame: int
    repeat: int  # pass over the bag, from 0
    stamp: int  # the moment at which it was due; at rate 1 the one in its header
    published: int  # when
    late: int  # behind the player's schedule


@dataclass(frozen=True)
class Published:
    """One result of the node. `latency` in s, from stamp to publication, as the node measured it.

    Offline, `latency` is the time that the pair took, and `received` the stamp.
    """

    stamp: int
    received: int  # when, by this machine's clock
    id: int
    box: Box  # NaN without one
    score: float
    state: str
    latency: float
    sync_error: float  # s
    frame: int | None = None  # offline; live, the stamp says it


@dataclass(frozen=True)
class Recording:
    """All that a replay brought."""

    plan: Plan
    visible: list[Sent]
    thermal: list[Sent]
    published: list[Published]
    diagnostics: dict[str, str]  # the node's last
    fused_images: int
    refused: int  # initialisations, after the first pass
    startup: float  # s, from the node's start to ACTIVE
    peak_memory: int  # bytes, the node's
