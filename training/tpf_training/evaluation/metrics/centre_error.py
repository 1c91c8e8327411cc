"""Distance between the centres of boxes, in pixels and in target sizes."""

import numpy as np


def centre_errors(boxes: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """(N,) distance in pixels between the centres of boxes and truth, both (N, 4) x, y, w, h."""
    return np.linalg.norm(_offsets(boxes, truth), axis=1)


def normalised_centre_errors(boxes: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """As `centre_errors`, x in widths and y in heights of the true box (Mueller et al., TrackingNet, 2018).

    Boxes of `truth` need an area. Each centre is divided before they are subtracted, as the toolkits do, which in
    single precision decides on which side of a threshold an error falls.
    """
    size = truth[:, 2:]
    return np.linalg.norm(_toolkit_centres(boxes) / size - _toolkit_centres(truth) / size, axis=1)


def _offsets(boxes: np.ndarray, truth: np.ndarray) -> np.ndarray:
    # The toolkits' centre is x + (w - 1) / 2; the half pixel is in both boxes.
    return boxes[:, :2] + boxes[:, 2:] / 2 - truth[:, :2] - truth[:, 2:] / 2


def _toolkit_centres(boxes: np.ndarray) -> np.ndarray:
    return boxes[:, :2] + (boxes[:, 2:] - 1) / 2
