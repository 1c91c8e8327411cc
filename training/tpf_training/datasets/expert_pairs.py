"""Aligned visible + thermal stills with the fused images of experts: `<set>/{visible,thermal}/<name>`.

The experts' images are luminance, in the data's own folders, `<set>/experts/<expert>/<name>`, or in any others.
They differ in worth: DIDFuse, for one, is very dark on LLVIP's and M3SVD's images, so look at an expert's images before
giving it an equal weight.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tpf_model.boxes import Box
from tpf_training.datasets.fused_image import SET, find_fused, read_fused
from tpf_training.datasets.pseudo_boxes import find_boxes
from tpf_training.datasets.record import DatasetError, Still
from tpf_training.datasets.rgbt_pairs import PairFiles


@dataclass(frozen=True)
class ExpertStill(Still):
    """A still with each expert's fused luminance, (H, W) uint8 by the expert's name; target: as of `PairFiles`."""

    experts: dict[str, np.ndarray]
    target: Box | None = None


@dataclass(frozen=True)
class ExpertPair:
    """A pair and where each expert's fused image of it lies. Images are read when wanted: sets may be large."""

    files: PairFiles
    experts: dict[str, Path]

    @property
    def name(self) -> str:
        return self.files.name

    def read(self) -> ExpertStill:
        """The images, and the target's box or those of the regions that stand out in thermal.

        DatasetError names a file at fault.
        """
        visible, thermal = self.files.read()
        experts = {name: read_fused(path, thermal.shape) for name, path in self.experts.items()}
        target = self.files.target
        boxes = find_boxes(thermal) if target is None else np.array([target], np.float32)
        return ExpertStill(self.name, visible, thermal, boxes, experts, target)


def own_experts(root: Path) -> dict[str, Path]:
    """The experts whose images are in the data's own folders, by name, each as `read_expert_pairs` takes it."""
    names = sorted({folder.name for folder in root.glob("*/experts/*") if folder.is_dir()})
    if not names:
        raise DatasetError(f"{root}: no experts, expected <set>/experts/<expert>/<name>")
    return {name: root / SET / "experts" / name for name in names}


def read_expert_pairs(pairs: Sequence[PairFiles], experts: dict[str, Path]) -> list[ExpertPair]:
    """`pairs` with the images of all `experts`.

    experts: each one's folder of fused images, as `find_fused` takes it. DatasetError names an image that is missing.
    """
    if not experts:
        raise DatasetError("no experts named, nothing to distil")
    return [
        ExpertPair(files, {name: find_fused(folder, files.name, name) for name, folder in experts.items()})
        for files in pairs
    ]
