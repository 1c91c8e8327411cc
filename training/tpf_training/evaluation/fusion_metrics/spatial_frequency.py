"""SF: how much an image changes from pixel to pixel."""

import numpy as np


def spatial_frequency(image: np.ndarray) -> float:
    """sqrt(RF^2 + CF^2), grey levels, of (H, W) uint8.

    RF^2 and CF^2 are the sums of squared differences of horizontal and of vertical neighbours, by H W. Eskicioglu and
    Fisher, "Image quality measures and their performance", 1995.
    """
    image = image.astype(np.float64)
    total = sum(np.square(np.diff(image, axis=axis)).sum() for axis in (0, 1))
    return float(np.sqrt(total / image.size))
