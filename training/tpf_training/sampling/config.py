"""How the three crops of a sample are drawn: typed settings, checked when they are made."""

from dataclasses import dataclass, field

from tpf_model.config import ModelConfig
from tpf_training.checks import check_range, check_whole
from tpf_training.sampling.jitter import Jitter


def check_crops(key: str, sampling: "SamplingConfig", model: ModelConfig) -> None:
    """The crops must be cut as the tracker cuts them: of `model`'s size and, on average, context."""
    for name, of in (("template", "template"), ("dynamic", "template"), ("search", "search")):
        jitter = getattr(sampling, name)
        for part in ("size", "factor"):
            needed, given = getattr(model, f"{of}_{part}"), getattr(jitter, part)
            if given != needed:
                raise ValueError(f"{key}.{name}.{part} is {given}; accepted: that of model {model.name!r}, {needed}")


@dataclass(frozen=True)
class SamplingConfig:
    """Probabilities are 0..1.

    max_gap: frames of the video between the template's and the search frame, at most. absent_target: how often the
    search crop of clips and pasted objects does not show the target. same_template: how often the dynamic template
    still is the first one, as in a track's first frames.
    template, dynamic, search: how each crop is cut; the dynamic template around the tracker's own box, never exact.
    object_box: how often a still's target is a region that looks like an object; otherwise a random textured one.
    smallest_target: px sqrt(w h) of a still's target; one of fewer has no shape to follow.
    still_turn, still_stretch: standard deviation of the angle and shear (radians) and of the log of the size between
    template and search crop of a still; the dynamic template gets `still_dynamic` of both.
    motion: standard deviation of a pasted object's way from template to search crop, in its sizes sqrt(w h).
    tracked: how often it is one of many looks (a real track); the others are more, but seen only once.
    """

    max_gap: int = 200
    absent_target: float = 0.1
    same_template: float = 0.3
    template: Jitter = field(default_factory=lambda: Jitter(factor=2.0, size=128))
    dynamic: Jitter = field(default_factory=lambda: Jitter(factor=2.0, size=128, centre=0.15, scale=0.05))
    search: Jitter = field(default_factory=lambda: Jitter(factor=4.0, size=256, centre=3.0, scale=0.25))
    object_box: float = 0.9
    smallest_target: float = 14.0
    still_turn: float = 0.07
    still_stretch: float = 0.08
    still_dynamic: float = 0.6
    motion: float = 1.5
    tracked: float = 0.6

    def __post_init__(self):
        check_whole("max_gap", self.max_gap, 2)
        for key in ("absent_target", "same_template", "object_box", "still_dynamic", "tracked"):
            check_range(key, getattr(self, key), 0, 1)
        check_range("smallest_target", self.smallest_target, 2)
        check_range("still_turn", self.still_turn, 0, 1)
        check_range("still_stretch", self.still_stretch, 0, 1)
        check_range("motion", self.motion, 0, 10)
        if self.template.size != self.dynamic.size:
            accepted = f"that of the template, {self.template.size}"
            raise ValueError(f"dynamic.size is {self.dynamic.size}; accepted: {accepted}")
