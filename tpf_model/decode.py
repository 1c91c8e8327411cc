"""From the head's maps to a box."""

import numpy as np

from tpf_model.boxes import Box


def hann_window(cells: int, power: float = 1.0) -> np.ndarray:
    """(cells, cells) prior on where the target is: a Hann window (OSTrack's, no zeros at the border) to a power.

    power >= 0: 1 is the window itself, 0 is no preference at all, above 1 it is narrower.
    """
    line = np.hanning(cells + 2)[1:-1]
    return (np.outer(line, line) ** power).astype(np.float32)


def decode(score: np.ndarray, size: np.ndarray, offset: np.ndarray, window: np.ndarray) -> tuple[Box, float]:
    """The box at the best cell of `score` x `window`, in fractions of the crop, and that cell's plain score.

    score, window: (G, G); size: (2, G, G), width and height; offset: (2, G, G), x and y in cells.
    """
    row, column = np.unravel_index(np.argmax(score * window), score.shape)
    cells = score.shape[0]
    w, h = (float(v) for v in size[:, row, column])
    x = (column + float(offset[0, row, column])) / cells
    y = (row + float(offset[1, row, column])) / cells
    return (float(x - w / 2), float(y - h / 2), w, h), float(score[row, column])
