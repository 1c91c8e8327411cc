"""Boxes of what looks like an object in a thermal image, without labels: people and engines are warmer than around."""

import cv2
import numpy as np


def find_boxes(thermal: np.ndarray, contrast: int = 30) -> np.ndarray:
    """(K, 4) float32 x, y, w, h of the blobs of `thermal` (H, W) uint8, `contrast` grey levels above what is around.

    Blobs that are tiny, larger than a third of the image, thin, ragged or cut by the image's edge are left out.
    """
    boxes = [box for box, mask in find_blobs(thermal, contrast) if solidity(mask) > 0.65]
    return np.array(boxes, dtype=np.float32).reshape(-1, 4)


def find_blobs(thermal: np.ndarray, contrast: int = 22) -> list[tuple[tuple[int, int, int, int], np.ndarray]]:
    """Like `find_boxes`, each with its mask (h, w) bool."""
    height, width = thermal.shape
    smooth = cv2.GaussianBlur(thermal, (0, 0), 1.5)
    # A wide average at an eighth of the size: blurring the image itself with such a radius costs 50 times as much.
    small = cv2.resize(smooth, (max(1, width // 8), max(1, height // 8)), interpolation=cv2.INTER_AREA)
    around = cv2.resize(cv2.GaussianBlur(small, (0, 0), max(1.0, height / 64)), (width, height))
    warm = (cv2.subtract(smooth, around) > contrast).astype(np.uint8)
    warm = cv2.morphologyEx(warm, cv2.MORPH_CLOSE, np.ones((7, 3), np.uint8))
    count, labels, stats, _ = cv2.connectedComponentsWithStats(warm)
    blobs = []
    for label in range(1, count):
        x, y, w, h, area = (int(v) for v in stats[label])
        touches = x == 0 or y == 0 or x + w == width or y + h == height
        if touches or w < 8 or h < 12 or w * h > height * width / 9 or not 0.4 < h / w < 5 or area < 0.4 * w * h:
            continue
        blobs.append(((x, y, w, h), labels[y : y + h, x : x + w] == label))
    return blobs


def solidity(mask: np.ndarray) -> float:
    """Area of a blob over that of its convex hull: low for ragged and branching shapes."""
    hull = cv2.convexHull(cv2.findNonZero(mask.astype(np.uint8)))
    return float(mask.sum() / max(1.0, cv2.contourArea(hull)))
