"""Tracks of what moves before a camera that stands still, found without labels: warm bodies against the background."""

from dataclasses import dataclass, field

import cv2
import numpy as np

from tpf_model.boxes import Box, iou

CONTRAST = 18  # grey levels above what is usual at a pixel
SMALLEST = 22 * 10  # px
STEADY = 0.55  # IoU with the frame before, below which a track ends: another body came, or hid it
SHORTEST = 8  # frames


@dataclass
class Track:
    """One body: indices of frames, and for each its box (whole pixels) and its mask (h, w) bool."""

    frames: list[int] = field(default_factory=list)
    boxes: list[Box] = field(default_factory=list)
    masks: list[np.ndarray] = field(default_factory=list)


def find_tracks(frames: np.ndarray) -> list[Track]:
    """Tracks in `frames` (N, H, W) uint8 of a camera that does not move, a fraction of a second apart."""
    background = np.median(frames[:: max(1, len(frames) // 60)], axis=0).astype(np.uint8)
    done, open_tracks = [], []
    for index, frame in enumerate(frames):
        bodies = moving_bodies(frame, background)
        still_open = []
        for track in open_tracks:
            match = [body for body in bodies if iou(track.boxes[-1], body[0]) > STEADY]
            # Two candidates, or one that grew or shrank at once: bodies met or parted.
            if len(match) == 1 and 0.75 < _area(match[0][0]) / _area(track.boxes[-1]) < 1.33:
                _extend(track, index, *match[0])
                still_open.append(track)
                bodies = [body for body in bodies if body is not match[0]]
            else:
                done.append(track)
        for body in bodies:
            still_open.append(Track())
            _extend(still_open[-1], index, *body)
        open_tracks = still_open
    return [track for track in done + open_tracks if len(track.frames) >= SHORTEST and _moves(track)]


def moving_bodies(frame: np.ndarray, background: np.ndarray) -> list[tuple[Box, np.ndarray]]:
    """Box and mask of each upright region that is warmer than the background and clear of the image's edge."""
    height, width = frame.shape
    excess = cv2.subtract(cv2.GaussianBlur(frame, (5, 5), 0), cv2.GaussianBlur(background, (5, 5), 0))
    warm = (excess > CONTRAST).astype(np.uint8)
    warm = cv2.morphologyEx(warm, cv2.MORPH_CLOSE, np.ones((9, 5), np.uint8))
    count, labels, stats, _ = cv2.connectedComponentsWithStats(warm)
    bodies = []
    for label in range(1, count):
        x, y, w, h, area = (int(v) for v in stats[label])
        at_edge = x <= 1 or y <= 1 or x + w >= width - 1 or y + h >= height - 1
        if not at_edge and w * h >= SMALLEST and 1.2 < h / w < 5 and area > 0.4 * w * h:
            bodies.append(((float(x), float(y), float(w), float(h)), labels[y : y + h, x : x + w] == label))
    return bodies


def _extend(track: Track, index: int, box: Box, mask: np.ndarray) -> None:
    track.frames.append(index)
    track.boxes.append(box)
    track.masks.append(mask)


def _area(box: Box) -> float:
    return box[2] * box[3]


def _moves(track: Track) -> bool:
    """Whether the body leaves where it was: a window's reflection and a lamp do not."""
    return min(iou(track.boxes[0], box) for box in track.boxes) < 0.5
