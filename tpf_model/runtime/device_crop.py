"""Crops on the session's device: the CPU stages the few pixels that a crop covers, the device resamples and fuses them.

What is staged has a fixed size whatever the frame's, because an image that the crop shrinks by 2 or more is averaged
first, as `crop.py` does it, on the CPU: it must be read there once in any case, and what travels is up to 2 x 2 pixels
an output pixel. So one CUDA graph serves all frames and crops, and a transfer is small: a tracked 40 x 50 target's crop
of a 1080p frame is 0.1 MB, the frame and its thermal image 6.5 MB.
"""

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from tpf_model.crop import Crop, between_centres, bounds, is_affine, shrink, warp
from tpf_model.frame import Frame
from tpf_model.pair import to_thermal
from tpf_model.registration import Registration

_CHANNELS = {"visible": 3, "thermal": 1}
_GEOMETRY = 13  # numbers of an image's geometry: matrix (3, 3), its fixed point, width, height, presence
# OpenCV samples on a grid of 32nds of a pixel. Affine coordinates it adds up in 1024ths, perspective ones in double.
_GRID, _AFFINE, _PERSPECTIVE = 32, 2**10, 2**20
_REACH = 1  # pixels beyond what is covered that bilinear sampling looks at


class DeviceCrop:
    """Stages crops of `size` of frames for one device, where `pair` then gives them as the network takes them.

    window: cells a side of the window that travels with them, 0 for none.

    One image of rows on either side, the CPU's in pinned memory: row 0 holds the numbers (geometry of both images,
    window), the others a row of the visible and a row of the thermal image each, so that one transfer of the first
    rows takes all there is.
    """

    def __init__(self, size: int, device: torch.device, window: int = 0):
        self._size, self._cells = size, window
        self._side = 2 * size + 2 * (_REACH + 1)  # what is shrunk by less than 2, on whole pixels
        count = 2 * _GEOMETRY + window**2
        row = 8 * max(self._side // 2, count)  # 3 + 1 bytes a pixel, 8 a number
        self._staged = torch.zeros(1 + self._side, row, dtype=torch.uint8, pin_memory=device.type == "cuda")
        self._on_device = torch.zeros(1 + self._side, row, dtype=torch.uint8, device=device)
        self._outputs = torch.arange(size, device=device, dtype=torch.float64)
        self._indices = torch.arange(self._side, device=device)
        numbers = self._numbers(self._staged).numpy()
        self._geometry = numbers[: 2 * _GEOMETRY].reshape(2, _GEOMETRY)
        self._window = numbers[2 * _GEOMETRY :].reshape(window, window)
        self._images = [self._pixels(self._staged, modality).numpy() for modality in _CHANNELS]

    def stage(self, frame: Frame, crop: Crop, registration: Registration, window: np.ndarray | None = None) -> None:
        """Start the transfer of what `crop` covers of `frame`. The last one must have been waited for.

        window: see `TPFSession.locate`; (G, G).
        """
        to_visible = crop.to_image_matrix()
        used = self._stage(0, frame.visible, to_visible)
        if frame.thermal is None:
            used = max(used, self._stage(1, None, to_visible))
        else:
            used = max(used, self._stage(1, frame.thermal, to_thermal(frame, registration) @ to_visible))
        if window is not None:
            self._window[:] = window
        self._on_device[: 1 + used].copy_(self._staged[: 1 + used], non_blocking=True)

    def _stage(self, index: int, image: np.ndarray | None, to_source: np.ndarray) -> int:
        """Write the pixels and geometry of one image; returns how many rows it fills."""
        if image is None:
            self._geometry[index] = (*np.eye(3).ravel(), 1, 0, 0, 0)
            return 0
        part, to_part = covered_part(image, to_source, self._size)
        height, width = part.shape[:2]
        pixels = self._images[index]
        pixels[:height, :width] = part if part.ndim == pixels.ndim else part[..., None]
        matrix = between_centres(to_part)
        fixed = _AFFINE if is_affine(matrix) else _PERSPECTIVE
        self._geometry[index] = (*matrix.ravel(), fixed, width, height, 1)
        return height

    def pair(self) -> tuple[Tensor, Tensor]:
        """The staged crop's visible and thermal image, aligned, each (1, 3, size, size) in [0, 1], on the device.

        A missing image is replaced by the other's luminance, as in `pair.py`. No step depends on what is staged but by
        its numbers, so a CUDA graph of it serves every crop.
        """
        geometry = self._numbers(self._on_device)[: 2 * _GEOMETRY].view(2, _GEOMETRY)
        visible, thermal = (
            self._warp(self._pixels(self._on_device, modality), own) for modality, own in zip(_CHANNELS, geometry)
        )
        red, green, blue = visible.split(1, dim=1)
        grey = (0.299 * red + 0.587 * green + 0.114 * blue).round()
        thermal = torch.where(geometry[1, -1] > 0, thermal, grey)
        visible = torch.where(geometry[0, -1] > 0, visible, thermal)
        return visible / 255, (thermal / 255).expand(-1, 3, -1, -1)

    def window(self) -> Tensor:
        """The staged window (G, G), on the device."""
        return self._numbers(self._on_device)[2 * _GEOMETRY :].view(self._cells, self._cells)

    def _warp(self, pixels: Tensor, geometry: Tensor) -> Tensor:
        """Pixels (side, side, C) uint8, of which the first are an image, to the crop (1, C, size, size) in 0..255."""
        matrix, fixed, (width, height) = geometry[:9].view(3, 3, 1), geometry[9], geometry[10:12]
        # What is left of an earlier, larger crop is outside this one's image, and that is zero.
        inside = (self._indices < height)[:, None] & (self._indices < width)
        image = torch.where(inside[..., None], pixels, 0).permute(2, 0, 1)[None].float()
        # Element by element: a matrix product may run in TF32, whose 10 bits are half a pixel here.
        across = matrix[:, 0] * self._outputs
        down = matrix[:, 1] * self._outputs + matrix[:, 2]
        depth = (across[2] + down[2, :, None]).float()
        # OpenCV's places exactly: at a steep edge a 32nd of a pixel is several grey levels.
        across, down = ((fixed * part[:2]).round().float() for part in (across, down))
        places = ((across[:, None] + down[:, :, None]) / depth * (_GRID / fixed).float() + 0.5).floor() / _GRID
        # grid_sample's -1 and 1 are the image's borders, half a pixel outside the centres of the first and last.
        grid = (places.movedim(0, -1)[None] + 0.5) * (2 / self._side) - 1
        return functional.grid_sample(image, grid, padding_mode="zeros", align_corners=False).round()

    def _numbers(self, rows: Tensor) -> Tensor:
        return rows[0, : 8 * (2 * _GEOMETRY + self._cells**2)].view(torch.float64)

    def _pixels(self, rows: Tensor, modality: str) -> Tensor:
        """(side, side, C) of all that can be staged of an image."""
        first = 0 if modality == "visible" else 3 * self._side
        channels = _CHANNELS[modality]
        return rows[1:, first : first + channels * self._side].unflatten(1, (self._side, channels))


def covered_part(image: np.ndarray, to_source: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
    """The pixels of `image` that a crop of `size` covers, at most about 2 x size a side, and `to_source` adapted to it.

    Resampling the part gives what resampling the image does. Sees to it that the last row of the matrix is positive
    all over the crop: where the registration's horizon runs through it, the part is the crop itself.
    """
    if bounds(to_source, (size, size)) is None:
        return warp(image, to_source, (size, size)), np.eye(3)
    image, to_source = shrink(image, to_source, (size, size))
    low, high = bounds(to_source, (size, size))
    height, width = image.shape[:2]
    left, right = np.clip((np.floor(low[0]) - _REACH, np.ceil(high[0]) + _REACH), 0, width).astype(int)
    top, bottom = np.clip((np.floor(low[1]) - _REACH, np.ceil(high[1]) + _REACH), 0, height).astype(int)
    part = image[top:bottom, left:right]
    to_part = np.array([[1, 0, -left], [0, 1, -top], [0, 0, 1]]) @ to_source
    return part if part.size else image[:0, :0], to_part  # else it may be as long as it is narrow
