"""A frame as a picture: the visible above the thermal image, with the true box and a tracker's in both."""

import cv2
import numpy as np

from tpf_training.evaluation.one_pass import Images

WIDTH = 640  # pixels of a picture's width at most
# RGB, told apart by brightness and hue, and on grey.
TRUE, RESULT = (255, 255, 255), (255, 160, 0)


def draw_frame(images: Images, truths: tuple[np.ndarray, ...], box: np.ndarray) -> np.ndarray:
    """(H, W, 3) uint8 RGB, at most `WIDTH` wide.

    images: visible, thermal, one of them may be None. truths: (4,) x, y, w, h of both modalities, or of each; box: (4,)
    the tracker's. Boxes without an area are not drawn.
    """
    panels = []
    for index, image in enumerate(images):
        if image is not None:
            panel = image if image.ndim == 3 else cv2.cvtColor(image, cv2.COLOR_GRAY2RGB)
            panels.append(_draw(panel, truths[min(index, len(truths) - 1)], box))
    return np.vstack(panels)


def encode(picture: np.ndarray) -> bytes:
    """A JPEG of RGB pixels, at full resolution also in colour, in which thin lines would fade otherwise."""
    options = [cv2.IMWRITE_JPEG_QUALITY, 85, cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444]
    ok, data = cv2.imencode(".jpg", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR), options)
    assert ok
    return data.tobytes()


def _draw(image: np.ndarray, truth: np.ndarray, box: np.ndarray) -> np.ndarray:
    scale = min(1.0, WIDTH / image.shape[1])
    size = round(image.shape[1] * scale), round(image.shape[0] * scale)
    panel = cv2.resize(image, size, interpolation=cv2.INTER_AREA) if scale < 1 else image.copy()
    thickness = max(1, round(panel.shape[1] / 160))
    for shown, colour in ((truth, TRUE), (box, RESULT)):
        if np.isfinite(shown).all() and (shown[2:] > 0).all():
            # A wild box within OpenCV's integers: what lies outside of the image is not drawn anyway.
            corners = np.clip(np.concatenate([shown[:2], shown[:2] + shown[2:]]) * scale, -4 * WIDTH, 4 * WIDTH)
            left, top, right, bottom = np.round(corners).astype(int).tolist()
            cv2.rectangle(panel, (left, top), (right, bottom), (0, 0, 0), thickness + 2)
            cv2.rectangle(panel, (left, top), (right, bottom), colour, thickness)
    return panel
