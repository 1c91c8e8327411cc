"""`decode` in PyTorch, without a step that depends on the values: what a CUDA graph can hold."""

import torch
from torch import Tensor


def decode_on_device(score: Tensor, size: Tensor, offset: Tensor, window: Tensor) -> Tensor:
    """The box at the best cell and its plain score, (5,) float32: x, y, w, h in fractions of the crop, score.

    score, window: (G, G); size, offset: (2, G, G); see `decode`, whose result this is.
    """
    cells = score.shape[0]
    line = torch.arange(cells, device=score.device)
    best = (score * window).flatten().argmax()  # the first of equals, as NumPy's
    near_row = (line - best // cells).abs() <= 1
    near_column = (line - best % cells).abs() <= 1
    weights = torch.where(near_row[:, None] & near_column, score.double().square(), 0)
    centre = torch.stack(((line + offset[0]) / cells, (line[:, None] + offset[1]) / cells))
    x, y, w, h = (torch.cat((centre, size)) * (weights / weights.sum())).sum(dim=(1, 2)).unbind()
    return torch.stack((x - w / 2, y - h / 2, w, h, score.flatten().gather(0, best[None])[0])).float()
