"""Expert `folder`: fused images that were computed ahead.

The image of the pair `<set>/<name>` is `<path>/<set>/<name>.png` (or .jpg, .jpeg, .bmp, .tif, .tiff). A path with
`{set}` in it has the set's name put there instead: with `data/{set}/experts/tardal` it is
`data/<set>/experts/tardal/<name>.png`. Colour images are read as their luminance.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from tpf_training.datasets.fused_image import find_fused, fixed_part, read_fused
from tpf_training.mad.expert_config import ExpertConfig
from tpf_training.mad.experts.expert import ExpertError


@dataclass(frozen=True)
class FolderExpert:
    """See `Expert`; a DatasetError names an image that is missing, damaged or of another size."""

    name: str
    path: Path
    fingerprint: str = ""  # its images are the result themselves

    def fuse(self, visible: np.ndarray, thermal: np.ndarray, name: str) -> np.ndarray:
        return read_fused(find_fused(self.path, name, self.name), thermal.shape)


def open_folder(config: ExpertConfig, device: torch.device) -> FolderExpert:
    folder = fixed_part(config.path)
    if not folder.is_dir():
        raise ExpertError(f"expert {config.name!r}: {folder}: no such folder of fused images")
    return FolderExpert(config.name, config.path)
