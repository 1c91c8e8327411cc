"""Crops on the session's device: the CPU stages the few pixels that a crop covers, the device resamples them.

What is staged has a fixed size whatever the frame's, because an image that the crop shrinks by 2 or more is averaged
first, as `crop.py` does it, on the CPU: it must be read there once in any case, and what travels is up to 2 x 2 pixels
an output pixel. So one CUDA graph serves all frames and crops, and a transfer is small: the searched region of a target
of 40 x 50 pixels is 0.1 MB of a 1080p frame, the whole frame and its thermal image 6.5 MB.
"""

import math

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from tpf_model.crop import Crop, between_centres, bounds, is_affine, shrink, warp
from tpf_model.frame import Frame
from tpf_model.pair import to_thermal
from tpf_model.registration import Registration

# The numbers of an image's geometry: matrix (3, 3), its fixed point, width, height, presence; here of no image.
_NO_IMAGE = (1, 0, 0, 0, 1, 0, 0, 0, 1, 1, 0, 0, 0)
# OpenCV samples on a grid of 32nds of a pixel. Affine coordinates it adds up in 1024ths, perspective ones in double.
_GRID, _AFFINE, _PERSPECTIVE = 32, 2**10, 2**20
_REACH = 1  # pixels beyond what is covered that bilinear sampling looks at


class StagedCrop:
    """All that a crop of `size` of a frame needs, in one tensor `rows` of bytes, and the views of its parts.

    Row 0 holds the numbers; each other row one of the visible and one of the thermal image: one transfer of the first
    rows takes all there is. device: where it is; pinned: in memory that a GPU reads by itself. cells: a side of the
    window that travels along, 0 for none.

    geometry (2, 13) float64, visible and thermal; window (cells, cells) float64; visible (side, side, 3) and
    thermal (side, side, 1) uint8, of which the first `height` rows and `width` columns are an image.
    """

    def __init__(self, size: int, device: torch.device, cells: int = 0, pinned: bool = False):
        self.size = size
        self.side = side = _longest(size)
        shape = 2, len(_NO_IMAGE)
        count = math.prod(shape) + cells**2
        # 3 + 1 bytes a pixel, 8 a number.
        row = 8 * max(side // 2, count)
        self.rows = torch.zeros(1 + side, row, dtype=torch.uint8, device=device, pin_memory=pinned)
        numbers = self.rows[0, : 8 * count].view(torch.float64)
        self.geometry = numbers[: math.prod(shape)].view(shape)
        self.geometry.copy_(torch.tensor(_NO_IMAGE))
        self.window = numbers[math.prod(shape) :].view(cells, cells)
        self.visible = self.rows[1:, : 3 * side].unflatten(1, (side, 3))
        self.thermal = self.rows[1:, 3 * side : 4 * side].unflatten(1, (side, 1))


def stage_crop(
    staged: StagedCrop, frame: Frame, crop: Crop, registration: Registration, window: np.ndarray | None = None
) -> int:
    """Write what `crop` covers of `frame`, and the window (G, G), into `staged`, on the CPU; returns the rows used."""
    to_visible = crop.to_image_matrix()
    parts = [None, None]
    if frame.visible is not None:
        parts[0] = covered_part(frame.visible, to_visible, staged.size)
    if frame.thermal is not None:
        parts[1] = covered_part(frame.thermal, to_thermal(frame, registration) @ to_visible, staged.size)
    geometry, used = staged.geometry.numpy(), 1
    for numbers, pixels, part in zip(geometry, (staged.visible, staged.thermal), parts):
        if part is None:
            numbers[:] = _NO_IMAGE
            continue
        image, matrix = part
        height, width = image.shape[:2]
        pixels.numpy()[:height, :width] = image.reshape(height, width, pixels.shape[2])
        fixed = _AFFINE if is_affine(matrix) else _PERSPECTIVE
        numbers[:] = (*matrix.ravel(), fixed, width, height, 1)
        used = max(used, 1 + height)
    if window is not None:
        staged.window.numpy()[:] = window
    return used


def sample_pair(staged: StagedCrop) -> tuple[Tensor, Tensor]:
    """The staged crop's visible and thermal image, aligned, each (1, 3, size, size) in [0, 1], on its device.

    The same as `crop_pair` gives, to a grey level. Only numbers depend on what is staged, no step and no shape: a CUDA
    graph of this serves every crop.
    """
    visible, thermal = (
        _warp(pixels, numbers, staged.size)
        for pixels, numbers in zip((staged.visible, staged.thermal), staged.geometry)
    )
    red, green, blue = visible.split(1, dim=1)
    grey = (0.299 * red + 0.587 * green + 0.114 * blue).round()
    has_visible, has_thermal = (staged.geometry[:, -1] > 0).unbind()
    thermal = torch.where(has_thermal, thermal, grey)
    visible = torch.where(has_visible, visible, thermal)
    return visible / 255, (thermal / 255).expand(-1, 3, -1, -1)


def _warp(pixels: Tensor, geometry: Tensor, size: int) -> Tensor:
    """Staged pixels (side, side, C) to the crop (1, C, size, size), float32 in 0..255."""
    side = pixels.shape[0]
    matrix, fixed, width, height = geometry[:9].view(3, 3, 1), geometry[9], geometry[10], geometry[11]
    # What is left of an earlier, larger crop is outside this one's image, and that is zero.
    line = torch.arange(side, device=pixels.device)
    inside = (line < height)[:, None] & (line < width)
    image = torch.where(inside[..., None], pixels, 0).permute(2, 0, 1)[None].float()
    # Element by element: a matrix product may run in TF32, whose 10 bits are half a pixel here.
    outputs = torch.arange(size, device=pixels.device)
    across, down = matrix[:, 0] * outputs, matrix[:, 1] * outputs + matrix[:, 2]
    depth = (across[2] + down[2, :, None]).float()
    # OpenCV's places exactly: at a steep edge a 32nd of a pixel is several grey levels.
    across, down = ((fixed * part[:2]).round().float() for part in (across, down))
    places = ((across[:, None] + down[:, :, None]) / depth * (_GRID / fixed).float() + 0.5).floor() / _GRID
    # grid_sample's -1 and 1 are the image's borders, half a pixel outside the centres of the first and last.
    grid = (places.movedim(0, -1)[None] + 0.5) * (2 / side) - 1
    return functional.grid_sample(image, grid, padding_mode="zeros", align_corners=False).round()


def covered_part(image: np.ndarray, to_source: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
    """The pixels of `image` that a crop of `size` covers, a view or averaged, at most 2 x size + 4 a side.

    Returns them, and `to_source` adapted to them, between centres (see `between_centres`); its third coordinate keeps
    its sign all over the crop: where the registration's horizon runs through it, the part is the crop itself.
    """
    if bounds(to_source, (size, size)) is None:
        return warp(image, to_source, (size, size)), np.eye(3)
    image, to_source = shrink(image, to_source, (size, size))
    low, high = bounds(to_source, (size, size))
    height, width = image.shape[:2]
    left, right = np.clip((np.floor(low[0]) - _REACH, np.ceil(high[0]) + _REACH), 0, width).astype(int)
    top, bottom = np.clip((np.floor(low[1]) - _REACH, np.ceil(high[1]) + _REACH), 0, height).astype(int)
    part = image[top:bottom, left:right]
    to_part = between_centres(np.array([[1, 0, -left], [0, 1, -top], [0, 0, 1]]) @ to_source)
    # A crop that ends just beside the image has none of it, or a strip as long as the image, black but for a trace.
    fits = part.size and max(part.shape[:2]) <= _longest(size)
    return part if fits else image[:0, :0], to_part


def _longest(size: int) -> int:
    """Pixels of a side of what a crop of `size` covers, shrunk by less than 2 and on whole pixels, at most."""
    return 2 * (size + _REACH + 1)
