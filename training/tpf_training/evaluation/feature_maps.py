"""An encoder's features of a crop as pictures."""

import cv2
import matplotlib
import numpy as np
from torch import Tensor

MAPS = ("mean", "pca")


def feature_map(tokens: Tensor, inside: np.ndarray, kind: str, size: int) -> np.ndarray:
    """(G^2, C) tokens, rows first -> (size, size, 3) uint8 RGB, a square a token.

    kind: "mean" is each token's mean absolute activation, from the weakest (dark blue) to the strongest (yellow) of
    this picture; "pca" shows the first three principal components of this picture's tokens as red, green and blue, each
    from its least to its greatest: alike tokens have alike colours. inside: (G^2,) bool, the tokens that set these
    ranges; those of black padding often stand out by far, and are cut at the ends.
    """
    tokens = tokens.float().cpu().numpy()
    cells = round(len(tokens) ** 0.5)
    if kind == "mean":
        return heat_map(_stretched(np.abs(tokens).mean(axis=1), inside).reshape(cells, cells), size)
    colours = _stretched(_principal_components(tokens, inside), inside).reshape(cells, cells, 3)
    return _enlarged((colours * 255).round().astype(np.uint8), size)


def heat_map(values: np.ndarray, size: int) -> np.ndarray:
    """(G, G) of 0..1 -> (size, size, 3) uint8 RGB."""
    return _enlarged(matplotlib.colormaps["viridis"](values, bytes=True)[..., :3], size)


def _principal_components(tokens: np.ndarray, inside: np.ndarray) -> np.ndarray:
    """(L, C) -> (L, 3), the strongest first. A component's sign is free: its largest loading is made positive."""
    middle = tokens[inside].mean(axis=0)
    directions = np.linalg.svd(tokens[inside] - middle, full_matrices=False)[2][:3]
    largest = np.abs(directions).argmax(axis=1)
    return (tokens - middle) @ (directions * np.sign(directions[np.arange(len(directions)), largest])[:, None]).T


def _stretched(values: np.ndarray, inside: np.ndarray) -> np.ndarray:
    """Each column to 0..1 by those inside; zeros where all of these are one value."""
    low, high = values[inside].min(axis=0), values[inside].max(axis=0)
    return ((values - low) / np.where(high > low, high - low, np.inf)).clip(0, 1)


def _enlarged(image: np.ndarray, size: int) -> np.ndarray:
    return cv2.resize(np.ascontiguousarray(image), (size, size), interpolation=cv2.INTER_NEAREST)
