"""What augmentation does, how often and how strongly: typed settings, checked when they are made."""

from dataclasses import dataclass, field

from tpf_training.checks import check_range, check_whole, merge_weights

# How often each family (`degradation.py`) is drawn for a camera that is degraded.
VISIBLE_FAMILIES = {
    "smoke": 0.4,
    "low_light": 0.25,
    "saturation": 0.07,
    "blur": 0.1,
    "noise": 0.06,
    "low_contrast": 0.07,
    "blackout": 0.03,
    "frozen": 0.03,
}
THERMAL_FAMILIES = {
    "crossover": 0.35,
    "low_contrast": 0.2,
    "blur": 0.15,
    "noise": 0.12,
    "saturation": 0.08,
    "blackout": 0.04,
    "frozen": 0.03,
}
# Which of template, dynamic template and search crop a degradation or a silence hits, and how often.
WHEN = {"search": 0.4, "dynamic_search": 0.15, "all": 0.35, "templates": 0.1}


@dataclass(frozen=True)
class DegradationConfig:
    """One camera gets worse than the other.

    both, visible_only, thermal_only: the share of samples in which these cameras are degraded; the rest stays clean.
    visible, thermal: the weight of each family of degradations; names left out keep their defaults, 0 switches one off.
    """

    both: float = 0.04
    visible_only: float = 0.28
    thermal_only: float = 0.15
    visible: dict[str, float] = field(default_factory=dict)
    thermal: dict[str, float] = field(default_factory=dict)

    def __post_init__(self):
        shares = self.both, self.visible_only, self.thermal_only
        for key, share in zip(("both", "visible_only", "thermal_only"), shares):
            check_range(f"degradation.{key}", share, 0, 1)
        if sum(shares) > 1:
            total = f"{sum(shares):g}"
            raise ValueError(f"degradation.both, visible_only and thermal_only add up to {total}; accepted: 0 to 1")
        for camera, defaults in (("visible", VISIBLE_FAMILIES), ("thermal", THERMAL_FAMILIES)):
            weights = merge_weights(f"degradation.{camera}", getattr(self, camera), defaults)
            object.__setattr__(self, camera, weights)

    @property
    def clean(self) -> float:
        """The share of samples in which neither camera is degraded."""
        return max(0.0, 1 - self.both - self.visible_only - self.thermal_only)


@dataclass(frozen=True)
class ClutterConfig:
    """Objects pasted into the search crop.

    distractors: probabilities of 0, 1, 2, ... of them beside the target. lookalikes: so many objects are drawn for
    each, and the one shaped most like the target is taken. occluder: how often one hides a part of the target.
    tracked: how often an object of many looks (a real track) is drawn; the others are more, but seen only once.
    """

    distractors: tuple[float, ...] = (0.3, 0.25, 0.25, 0.2)
    lookalikes: int = 4
    occluder: float = 0.2
    tracked: float = 0.6

    def __post_init__(self):
        object.__setattr__(self, "distractors", tuple(self.distractors))
        for index, share in enumerate(self.distractors):
            check_range(f"clutter.distractors[{index}]", share, 0, 1)
        if abs(sum(self.distractors) - 1) > 1e-6:
            raise ValueError(f"clutter.distractors add up to {sum(self.distractors):g}; accepted: 1")
        check_whole("clutter.lookalikes", self.lookalikes, 1)
        check_range("clutter.occluder", self.occluder, 0, 1)
        check_range("clutter.tracked", self.tracked, 0, 1)


@dataclass(frozen=True)
class AugmentationConfig:
    """All that happens to the crops of a sample. Probabilities are 0..1; 0 switches an augmentation off.

    flip, grey: probability, one draw for the whole sample. brightness: a factor in 1 -+ this, one draw a crop, the same
    for both cameras. visible_drift, thermal_drift: strength of each camera's own change of gain, gamma and offset from
    crop to crop. simulate_thermal, simulate_visible: how often clips that lack this camera get a made-up image of it;
    otherwise it is silent in them. silent: how often one camera of the others is; the tracker's stand-in is shown.
    misaligned: how often thermal lies off, by a shift of `misalignment_pixels` standard deviation (in a search crop of
    256 px) and a scale of `misalignment_scale`. when: which crops a degradation or a silence hits; names left out keep
    their defaults.
    """

    flip: float = 0.5
    grey: float = 0.05
    brightness: float = 0.2
    visible_drift: float = 0.7
    thermal_drift: float = 1.0
    simulate_thermal: float = 0.75
    simulate_visible: float = 0.4
    silent: float = 0.1
    misaligned: float = 0.5
    misalignment_pixels: float = 3.0
    misalignment_scale: float = 0.01
    when: dict[str, float] = field(default_factory=dict)
    degradation: DegradationConfig = field(default_factory=DegradationConfig)
    clutter: ClutterConfig = field(default_factory=ClutterConfig)

    def __post_init__(self):
        for key in ("flip", "grey", "brightness", "simulate_thermal", "simulate_visible", "silent", "misaligned"):
            check_range(key, getattr(self, key), 0, 1)
        check_range("visible_drift", self.visible_drift, 0, 3)
        check_range("thermal_drift", self.thermal_drift, 0, 3)
        check_range("misalignment_pixels", self.misalignment_pixels, 0, 32)
        check_range("misalignment_scale", self.misalignment_scale, 0, 0.1)
        object.__setattr__(self, "when", merge_weights("when", self.when, WHEN))

    @classmethod
    def off(cls, **changes) -> "AugmentationConfig":
        """No augmentation but for `changes`; a camera that a clip lacks is silent."""
        nothing = {
            "flip": 0.0,
            "grey": 0.0,
            "brightness": 0.0,
            "visible_drift": 0.0,
            "thermal_drift": 0.0,
            "simulate_thermal": 0.0,
            "simulate_visible": 0.0,
            "silent": 0.0,
            "misaligned": 0.0,
            "degradation": DegradationConfig(both=0.0, visible_only=0.0, thermal_only=0.0),
            "clutter": ClutterConfig(distractors=(1.0,), occluder=0.0),
        }
        return cls(**(nothing | changes))
