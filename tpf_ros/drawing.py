"""The box, the state and a few lines of text drawn on an image, legible on small and on large ones."""

import cv2
import numpy as np

from tpf_model.boxes import Box
from tpf_model.frame import Frame
from tpf_model.pair import whole_pair
from tpf_model.registration import Registration

# RGB, by state name; chosen to differ in brightness too.
STATE_COLOURS = {
    "idle": (160, 160, 160),
    "tracking": (60, 220, 60),
    "coasting": (255, 180, 0),
    "lost": (255, 50, 50),
    "error": (255, 0, 255),
}
_FONT = cv2.FONT_HERSHEY_SIMPLEX


def draw_overlay(
    image: np.ndarray, box: Box | None, state: str, score: float | None = None, lines: tuple[str, ...] = ()
) -> np.ndarray:
    """Return a copy of `image` with the box in the state's colour and text in the top left corner.

    image: (H, W, 3) uint8, RGB. `box` is (x, y, w, h) in its pixels, or None for no box. `state` is a key of
    `STATE_COLOURS` (KeyError otherwise); with `score` (0..1, or None) it makes the first line of text, `lines` follow.
    """
    colour = STATE_COLOURS[state]
    canvas = np.array(image, order="C")
    height, width = canvas.shape[:2]
    if box is not None:
        _draw_box(canvas, box, colour, thickness=max(1, round(min(height, width) / 240)))
    title = state if score is None else f"{state} {score:.2f}"
    _draw_lines(canvas, [(title, colour), *((line, (255, 255, 255)) for line in lines)])
    return canvas


def draw_pair(
    frame: Frame,
    registration: Registration,
    box: Box | None,
    state: str,
    score: float | None = None,
    lines: tuple[str, ...] = (),
) -> np.ndarray:
    """Visible and thermal image side by side, both in visible pixels and with the box: (H, 2 W, 3) uint8 RGB."""
    visible, thermal = whole_pair(frame, registration)
    left = draw_overlay(visible, box, state, score, lines)
    right = draw_overlay(cv2.cvtColor(thermal, cv2.COLOR_GRAY2RGB), box, state)
    return np.hstack([left, right])


def draw_true_box(canvas: np.ndarray, box: Box) -> None:
    """Draw a true box, white, on both halves of what `draw_pair` gave."""
    x, y, w, h = (round(value) for value in box)
    for panel in np.split(canvas, 2, axis=1):
        cv2.rectangle(panel, (x, y), (x + w - 1, y + h - 1), (255, 255, 255), 1)


def _draw_box(canvas: np.ndarray, box: Box, colour: tuple[int, int, int], thickness: int) -> None:
    # The limit keeps a wild box within OpenCV's integers; what lies outside the image is not drawn anyway.
    limit = 4 * max(canvas.shape)
    x, y, w, h = box
    left, top, right, bottom = (round(min(max(v, -limit), limit)) for v in (x, y, x + w - 1, y + h - 1))
    cv2.rectangle(canvas, (left, top), (right, bottom), (0, 0, 0), thickness + 2)
    cv2.rectangle(canvas, (left, top), (right, bottom), colour, thickness)


def _draw_lines(canvas: np.ndarray, lines: list[tuple[str, tuple[int, int, int]]]) -> None:
    """Write each (text, colour) below the last, outlined in black, shrunk until the longest fits the image's width."""
    height, width = canvas.shape[:2]
    scale = max(0.35, height / 900)
    widest = max(cv2.getTextSize(text, _FONT, 1.0, 1)[0][0] for text, _ in lines)
    scale = min(scale, (width - 8) / (widest + 16))  # 16: the margins below, at scale 1
    thickness = max(1, round(scale * 1.5))
    line_height = round(scale * 34) + 1
    for row, (text, colour) in enumerate(lines):
        origin = (max(2, round(scale * 8)), (row + 1) * line_height)
        cv2.putText(canvas, text, origin, _FONT, scale, (0, 0, 0), thickness + 2, cv2.LINE_AA)
        cv2.putText(canvas, text, origin, _FONT, scale, colour, thickness, cv2.LINE_AA)
