"""annotated.mp4: every visible image of the bag beside the thermal one, with the true and the estimated box.

It shows what an operator saw: the estimate on an image is the newest one that had been received when the image was
published, so it lags by the node's latency.
"""

from collections.abc import Iterator
from itertools import takewhile
from pathlib import Path

import cv2
import numpy as np

from tpf_model.boxes import Box
from tpf_model.frame import Frame
from tpf_model.registration import Registration
from tpf_ros.drawing import draw_pair, draw_true_box
from tpf_ros.parameters import Settings, make_normaliser, make_registration, parameters
from tpf_ros.recording import Plan, Published, Recording, Sent
from tpf_ros.report import newest_results
from tpf_ros.scores import fit
from tpf_ros.sources.bag import BagSource
from tpf_ros.sources.source import Item, SourceError
from tpf_ros.video_writer import VideoWriter

_CAPTION = "white: true box    colour: the newest estimate published when this image came (so it lags by its age)"


def write_annotated_video(path: Path, recording: Recording, truth: dict[int, Box]) -> None:
    """Write the first pass over the bag at the speed it was played. `truth`: true boxes by frame.

    The thermal image lies as the node's registration says; with registration.method plane as if both cameras had the
    same field of view.
    """
    plan = recording.plan
    visible = BagSource(plan.bag, plan.visible, "visible")
    thermal = BagSource(plan.bag, plan.thermal, "thermal")
    settings = _settings(plan)
    normalise, registration = make_normaliser(settings), make_registration(settings) or Registration.identity()
    first_pass = takewhile(lambda pair: pair[0].repeat == 0, newest_results(recording))
    with VideoWriter(path, visible.rate * plan.rate) as writer:
        for (image, heat), (sent, newest) in zip(_beside(visible, thermal), first_pass):
            if image is None:
                continue
            frame = Frame(image, None if heat is None else normalise(heat))
            writer.write(_compose(frame, registration, sent, newest, truth.get(sent.frame)), sent.published)


def _settings(plan: Plan) -> Settings:
    """The node's parameters as the replay set them."""
    known = {info.name for info in parameters()}  # the node warns of others and goes on
    return Settings.from_values({name: value for name, value in plan.parameter_values().items() if name in known})


def _beside(visible: BagSource, thermal: BagSource) -> Iterator[tuple[np.ndarray | None, np.ndarray | None]]:
    """Each visible image with the newest thermal one recorded by then, None before the first; None for damaged ones."""
    coming = iter(thermal)
    following, current = next(coming), None
    for item in visible:
        while following is not None and following.arrival_ns <= item.arrival_ns:
            current, following = following, next(coming, None)
        yield _load(item), None if current is None else _load(current)


def _load(item: Item) -> np.ndarray | None:
    try:
        return item.load()
    except SourceError:  # the node drops such an image and goes on
        return None


def _compose(
    frame: Frame, registration: Registration, sent: Sent, newest: Published | None, true: Box | None
) -> np.ndarray:
    lines, box, state, score = [f"frame {sent.frame}"], None, "idle", None
    if newest is not None:
        box = newest.box if np.isfinite(newest.box).all() else None
        state, score = newest.state, newest.score
        lines.append(f"estimate {(sent.published - newest.stamp) / 1e6:.0f} ms old")
        if true is not None:
            lines.append(f"IoU {fit(newest.box, true).iou:.2f}")
    canvas = draw_pair(frame, registration, box, state, score, tuple(lines))
    if true is not None:
        draw_true_box(canvas, true)
    return np.vstack([canvas, _caption(canvas.shape[1])])


def _caption(width: int) -> np.ndarray:
    bar = np.zeros((28, width, 3), np.uint8)
    scale = min(0.5, 0.5 * width / 1000)
    cv2.putText(bar, _CAPTION, (8, 19), cv2.FONT_HERSHEY_SIMPLEX, scale, (230, 230, 230), 1, cv2.LINE_AA)
    return bar
