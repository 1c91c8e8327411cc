"""Who fuses in a comparison of fused images: our models, the mean of both images, and folders of images."""

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np

from tpf_model.frame import Frame
from tpf_model.runtime import TPFSession
from tpf_model.tracker import fuse_frame
from tpf_training.datasets.fused_image import find_fused
from tpf_training.datasets.image_file import decode_image
from tpf_training.datasets.record import DatasetError


class Fuser(Protocol):
    """name: unique in a comparison."""

    name: str

    def fuse(self, pair: str, visible: np.ndarray, thermal: np.ndarray) -> np.ndarray:
        """The fused luminance, (H, W) uint8, of the pair of that name: (H, W, 3) uint8 RGB, (H, W) uint8."""


@dataclass(frozen=True)
class ModelFuser:
    """A model's adapter over the whole image, as the node shows it."""

    name: str
    session: TPFSession

    def fuse(self, pair: str, visible: np.ndarray, thermal: np.ndarray) -> np.ndarray:
        return luminance(fuse_frame(self.session, Frame(visible, thermal)))


@dataclass(frozen=True)
class AdditionFuser:
    """The mean of both images: what the adapter must be better than."""

    name: str = "addition"

    def fuse(self, pair: str, visible: np.ndarray, thermal: np.ndarray) -> np.ndarray:
        return luminance(((visible.astype(np.float32) + thermal[..., None]) / 2).round().astype(np.uint8))


@dataclass(frozen=True)
class FolderFuser:
    """Images that were fused ahead; `folder` is as `find_fused` takes it."""

    name: str
    folder: Path

    def fuse(self, pair: str, visible: np.ndarray, thermal: np.ndarray) -> np.ndarray:
        """DatasetError names an image that is missing, damaged, of another size or of more than 8 bits."""
        path = find_fused(self.folder, pair, self.name)
        try:
            image = decode_image(path.read_bytes(), cv2.IMREAD_COLOR | cv2.IMREAD_ANYDEPTH)
        except (OSError, ValueError) as error:
            raise DatasetError(f"{path}: damaged image: {error}") from error
        if image.dtype != np.uint8:
            raise DatasetError(f"{path}: is {image.dtype}, the measures are defined for 8 bits")
        if image.shape[:2] != thermal.shape:
            size, wanted = ("x".join(map(str, shape[1::-1])) for shape in (image.shape, thermal.shape))
            raise DatasetError(f"{path}: is {size}, its pair is {wanted}")
        return cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)


def luminance(image: np.ndarray) -> np.ndarray:
    """(H, W, 3) uint8 RGB -> (H, W) uint8, BT.601."""
    return cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
