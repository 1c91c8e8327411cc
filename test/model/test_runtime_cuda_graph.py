"""The GPU's session against the eager one: its steps on the CPU over real video, and, where there is a GPU, its graphs."""

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from tpf_model.boxes import iou
from tpf_model.crop import Crop
from tpf_model.decode import hann_window
from tpf_model.frame import Frame
from tpf_model.registration import Registration
from tpf_model.runtime import open_session
from tpf_model.runtime.cuda_graph import CaptureError, CudaGraphSession
from tpf_model.runtime.eager import EagerSession
from tpf_model.tracker import Tracker, TrackerConfig
from tpf_model.weights import load_network

CLIP = Path(__file__).parents[1] / "data" / "0117_1620"
FIRST, COUNT = 123, 12
BOX = (340.0, 150.0, 70.0, 200.0)
IDENTITY = Registration.identity()
WINDOW = hann_window(16, 2)

needs_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU, PyTorch finds none")
devices = pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=needs_cuda)])


@pytest.fixture(scope="module")
def frames():
    """Frames of the clip; the first shows the target C of its README in its true box."""
    videos = [cv2.VideoCapture(str(CLIP / name)) for name in ("visible.mp4", "thermal.mp4")]
    images = [[video.read()[1] for _ in range(FIRST + COUNT)][FIRST:] for video in videos]
    to_rgb, to_grey = cv2.COLOR_BGR2RGB, cv2.COLOR_BGR2GRAY
    return [Frame(cv2.cvtColor(visible, to_rgb), cv2.cvtColor(thermal, to_grey)) for visible, thermal in zip(*images)]


def open_both(device, precision="float32", model="tiny"):
    return [kind(*load_network(model), device, precision) for kind in (EagerSession, CudaGraphSession)]


@pytest.fixture(scope="module", params=["cpu", pytest.param("cuda", marks=needs_cuda)])
def both(request):
    return open_both(request.param)


def true_boxes():
    rows = np.loadtxt(CLIP / "C.csv", delimiter=",", skiprows=1)
    return [tuple(row[1:5]) for row in rows if FIRST <= row[0] < FIRST + COUNT]


def locate(session, frame, box, templates=None, registration=IDENTITY):
    config = session.config
    if templates is None:
        template = session.embed(frame, Crop.around(box, 2, config.template_size), registration)
        templates = template, template
    crop = Crop.around(box, 4, config.search_size)
    return session.locate(*templates, frame, crop, registration, WINDOW), crop


def assert_same(ours, eager, crop, pixels=0.1):
    """pixels: of the image, by which the boxes may differ."""
    assert np.abs(np.subtract(ours.box, eager.box)).max() * crop.side < pixels
    assert ours.score == pytest.approx(eager.score, abs=2e-3)
    assert (ours.fused - eager.fused).abs().max() < 2 / 255


def test_each_frame_of_the_clip_gives_the_eager_session_s_box(both, frames):
    starts = [session.embed(frames[0], Crop.around(true_boxes()[0], 2, 128), IDENTITY) for session in both]
    scores = []
    for frame, box in zip(frames, true_boxes()):
        (eager, crop), (ours, _) = (locate(one, frame, box, (start, start)) for one, start in zip(both, starts))
        assert_same(ours, eager, crop)
        scores.append(ours.score)
    assert min(scores) > 0.3  # it is the target that was found
