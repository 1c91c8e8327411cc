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

    The cells around the best one see the same target and were trained to give its box, too: the box is the mean of
    theirs, weighted by the square of their scores, which errs less than any one of them.
    """
    row, column = np.unravel_index(np.argmax(score * window), score.shape)
    around = np.s_[max(0, row - 1) : row + 2, max(0, column - 1) : column + 2]
    weights = score[around].astype(np.float64) ** 2
    weights /= weights.sum()
    rows, columns = np.mgrid[: score.shape[0], : score.shape[1]]
    maps = (columns + offset[0]) / score.shape[0], (rows + offset[1]) / score.shape[0], *size
    x, y, w, h = (float((values[around] * weights).sum()) for values in maps)
    return (x - w / 2, y - h / 2, w, h), float(score[row, column])
