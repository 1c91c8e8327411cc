"""What a fusion expert is made of: one entry of a configuration."""

import difflib
from dataclasses import dataclass
from pathlib import Path

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
        if self.kind not in KINDS:
            near = difflib.get_close_matches(self.kind, KINDS, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise ValueError(f"expert {self.name!r}: unknown kind {self.kind!r}; known: {', '.join(KINDS)}{hint}")
        if not self.name or Path(self.name).name != self.name:
            raise ValueError(f"expert name {self.name!r} must be usable as a folder's name: not empty, no slashes")
        if self.weights is not None and self.kind in FILES:
            raise ValueError(f"expert {self.name!r}: kind {self.kind!r} takes no weights, all of it is at its path")
