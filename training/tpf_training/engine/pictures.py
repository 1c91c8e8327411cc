"""Sample images for TensorBoard: what the network saw, what it made of it, and where it thought the target is."""

from dataclasses import dataclass

import cv2
import numpy as np
import pytorch_lightning as lightning
import torch
from torch import Tensor
from torch.nn import functional

ROWS = 6
TRUTH, ESTIMATE = (0, 255, 0), (255, 64, 64)


@dataclass(frozen=True)
class Pictures:
    """visible, thermal, fused: (B, 3, S, S) in [0, 1]; truth, estimate: (B, 4) x y w h, fractions of the crop, or None.

    Boxes of NaN are not drawn. template: (B, 3, T, T) or None, shown first.
    """

    visible: Tensor
    thermal: Tensor
    fused: Tensor
    truth: Tensor | None = None
    estimate: Tensor | None = None
    template: Tensor | None = None

    def draw(self) -> np.ndarray:
        """One picture (H, W, 3) uint8 RGB: a row a sample."""
        columns = [self.visible, self.thermal, self.fused]
        if self.template is not None:
            columns.insert(0, functional.interpolate(self.template, self.fused.shape[-2:]))
        return np.concatenate([self._row(columns, index) for index in range(min(ROWS, len(self.fused)))])

    def _row(self, columns: list[Tensor], index: int) -> np.ndarray:
        images = [_to_image(column[index]) for column in columns]
        for image in images[-3:]:
            for boxes, colour in ((self.truth, TRUTH), (self.estimate, ESTIMATE)):
                if boxes is not None and bool(boxes[index].isfinite().all()):
                    _draw_box(image, boxes[index], colour)
        return np.concatenate(images, axis=1)


class LogPictures(lightning.Callback):
    """Logs the `pictures` that the module keeps of each epoch's first batch."""

    def on_train_epoch_end(self, trainer, module) -> None:
        for logger in trainer.loggers:
            logger.experiment.add_image("samples", module.pictures.draw(), trainer.global_step, dataformats="HWC")


def _to_image(pixels: Tensor) -> np.ndarray:
    return np.ascontiguousarray((pixels.float().clamp(0, 1) * 255).to(torch.uint8).permute(1, 2, 0).cpu().numpy())


def _draw_box(image: np.ndarray, box: Tensor, colour: tuple[int, int, int]) -> None:
    x, y, w, h = (float(value) * image.shape[0] for value in box)
    cv2.rectangle(image, (round(x), round(y)), (round(x + w), round(y + h)), colour, 2)
