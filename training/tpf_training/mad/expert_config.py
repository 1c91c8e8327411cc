"""What a fusion expert is made of: one entry of a configuration."""

from dataclasses import dataclass
from pathlib import Path

from tpf_training.checks import check_name

FILES = ("folder", "onnx", "torchscript")  # all that they are is at `path`
CHECKOUTS = ("cddfuse", "diff_if", "mambadfuse")
KINDS = FILES + CHECKOUTS


@dataclass(frozen=True)
class ExpertConfig:
    """A fusion expert, see the file of its kind in `tpf_training.mad.experts`.

    name: what its images, weights and curves are called; no slashes.
    kind: folder | onnx | torchscript | cddfuse | diff_if | mambadfuse.
    path: the folder of fused images, the file, or the checkout of the upstream repository.
    weights: only for checkouts: the checkpoint; None is where the upstream repository puts it in its checkout.
    """

    name: str
    kind: str
    path: Path
    weights: Path | None = None

    def __post_init__(self):
        check_name(f"expert {self.name!r}: kind", self.kind, KINDS)
        if not self.name or Path(self.name).name != self.name:
            raise ValueError(f"expert name {self.name!r} must be usable as a folder's name: not empty, no slashes")
        if self.weights is not None and self.kind in FILES:
            raise ValueError(f"expert {self.name!r}: kind {self.kind!r} takes no weights, all of it is at its path")
