"""The model's configuration: one YAML file per variant, read into a typed, checked dataclass."""

import dataclasses
import difflib
from dataclasses import dataclass
from importlib import resources

import yaml

AUTO = "auto"  # as a model: the weights file's own, or without a file `default_model`
_DEFAULT_MODELS = {"cpu": "tiny", "cuda": "small"}  # by the kind of device: on a CPU `small` is slower than a camera


@dataclass(frozen=True)
class ModelConfig:
    """Sizes of one network variant. Lengths in pixels, strides in pixels per token."""

    name: str
    width: int  # ViT embedding width C
    depth: int  # ViT blocks
    heads: int  # attention heads
    head_channels: int  # first width of the centre head's branches
    fusion: str = "pfa"  # pfa | addition
    token_stride: int = 1  # the PFA's stem stride: 1 is one token a pixel
    patch: int = 16
    template_size: int = 128
    template_factor: float = 2.0
    search_size: int = 256
    search_factor: float = 4.0

    def __post_init__(self):
        if self.fusion not in ("pfa", "addition"):
            raise ValueError(f"fusion is {self.fusion!r}, must be 'pfa' or 'addition'")
        if self.width % self.heads:
            raise ValueError(f"width {self.width} is not a multiple of heads {self.heads}")
        for key in ("template_size", "search_size"):
            if getattr(self, key) % self.patch or getattr(self, key) % self.token_stride:
                raise ValueError(f"{key} {getattr(self, key)} is not a multiple of patch and token_stride")

    @property
    def template_tokens(self) -> int:
        return (self.template_size // self.patch) ** 2

    @property
    def search_tokens(self) -> int:
        return (self.search_size // self.patch) ** 2

    def to_dict(self) -> dict:
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, values: dict) -> "ModelConfig":
        """Build from plain values; an unknown key is a ValueError that names the nearest known one."""
        known = [field.name for field in dataclasses.fields(cls)]
        for key in values:
            if key not in known:
                near = difflib.get_close_matches(key, known, n=1)
                hint = f"; did you mean {near[0]!r}?" if near else f"; known keys: {', '.join(known)}"
                raise ValueError(f"model config has an unknown key {key!r}{hint}")
        return cls(**values)


def variant_names() -> list[str]:
    """Names of the variants that ship, e.g. ['base', 'small', 'tiny']."""
    folder = resources.files("tpf_model") / "variants"
    return sorted(item.name.removesuffix(".yaml") for item in folder.iterdir() if item.name.endswith(".yaml"))


def default_model(device: str) -> str:
    """The variant that `AUTO` stands for where no weights file says it. device: "cpu", "cuda" or "cuda:N"."""
    return _DEFAULT_MODELS[device.partition(":")[0]]


def load_variant(name: str) -> ModelConfig:
    """Read the variant `name`; ValueError lists the known ones if there is none of that name."""
    if name not in variant_names():
        raise ValueError(f"unknown model {name!r}; known: {', '.join(variant_names())}")
    text = (resources.files("tpf_model") / "variants" / f"{name}.yaml").read_text()
    return ModelConfig.from_dict({"name": name, **yaml.safe_load(text)})
