"""annotated.mp4: every visible image of the bag beside the thermal one, as an operator saw them, with the true and the
estimated box.

The estimate on an image is the newest one that had been received when the image was published, so it lags by the node's
latency.
"""

from collections.abc import Iterator
from itertools import takewhile
from pathlib import Path

import cv2
import numpy as np

from tpf_model.boxes import Box
from tpf_model.normalise import ThermalNormaliser
from tpf_ros.drawing import draw_overlay
from tpf_ros.recording import Published, Recording, Sent
from tpf_ros.report import newest_results, overlap
from tpf_ros.sources.bag import BagSource
from tpf_ros.video_writer import VideoWriter

_CAPTION = "white: true box    colour: the newest estimate published when this image came (so it lags by its age)"


def write_annotated_video(path: Path, recording: Recording, truth: dict[int, Box]) -> None:
    """Write the first pass over the bag at the speed it was played. `truth`: true boxes by frame.

    The thermal image is stretched to the visible one's size; boxes lie right on it where both see the same field of
    view.
    """
    plan = recording.plan
    visible = BagSource(plan.bag, plan.visible, "visible")
    thermal = BagSource(plan.bag, plan.thermal, "thermal")
    normalise = ThermalNormaliser()
    first_pass = takewhile(lambda pair: pair[0].repeat == 0, newest_results(recording))
    with VideoWriter(path, visible.rate * plan.rate) as writer:
        for (image, heat), (sent, newest) in zip(_beside(visible, thermal), first_pass):
            heat = np.zeros(image.shape[:2], np.uint8) if heat is None else normalise(heat)
            writer.write(_compose(image, heat, sent, newest, truth.get(sent.frame)))


def _beside(visible: BagSource, thermal: BagSource) -> Iterator[tuple[np.ndarray, np.ndarray | None]]:
    """Each visible image with the newest thermal one recorded by then; None before the first."""
    coming = iter(thermal)
    following, current = next(coming), None
    for item in visible:
        while following is not None and following.arrival_ns <= item.arrival_ns:
            current, following = following, next(coming, None)
        yield item.load(), None if current is None else current.load()


def _compose(image: np.ndarray, heat: np.ndarray, sent: Sent, newest: Published | None, true: Box | None) -> np.ndarray:
    height, width = image.shape[:2]
    heat = cv2.cvtColor(cv2.resize(heat, (width, height)), cv2.COLOR_GRAY2RGB)
    lines = [f"frame {sent.frame}"]
    box, state, score = None, "idle", None
    if newest is not None:
        box = newest.box if np.isfinite(newest.box).all() else None
        state, score = newest.state, newest.score
        age = (sent.published - newest.stamp) / 1e6
        lines.append(f"estimate {age:.0f} ms old")
        if true is not None:
            lines.append(f"IoU {overlap(newest.box, true):.2f}")
    panels = []
    for panel, text in ((image, tuple(lines)), (heat, ())):
        panel = np.array(panel, order="C")
        if true is not None:
            _draw_true(panel, true)
        panels.append(draw_overlay(panel, box, state, score, text))
    return np.vstack([np.hstack(panels), _caption(2 * width)])


def _draw_true(panel: np.ndarray, box: Box) -> None:
    x, y, w, h = (round(value) for value in box)
    cv2.rectangle(panel, (x, y), (x + w - 1, y + h - 1), (255, 255, 255), 1)


def _caption(width: int) -> np.ndarray:
    bar = np.zeros((28, width, 3), np.uint8)
    scale = min(0.5, 0.5 * width / 1000)
    cv2.putText(bar, _CAPTION, (8, 19), cv2.FONT_HERSHEY_SIMPLEX, scale, (230, 230, 230), 1, cv2.LINE_AA)
    return bar
