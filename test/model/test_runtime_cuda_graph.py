"""The GPU's session against the eager one: its steps on the CPU over real video and, on a GPU, its graphs."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from tpf_model.appearance import first_appearance, no_appearance
from tpf_model.boxes import iou
from tpf_model.correlation_filter import spectrum_of
from tpf_model.crop import Crop
from tpf_model.decode import hann_window
from tpf_model.frame import Frame
from tpf_model.registration import Registration
from tpf_model.runtime import cuda_graph, open_session
from tpf_model.runtime.cuda_graph import CaptureError, CudaGraphSession, Lesson, embed_step, learn_step, locate_step
from tpf_model.runtime.device_crop import StagedCrop
from tpf_model.runtime.eager import EagerSession
from tpf_model.scale_filter import sizes_of
from tpf_model.tracker import Tracker, TrackerConfig
from tpf_model.weights import load_network
from torch.utils._pytree import tree_leaves

CLIP = Path(__file__).parents[1] / "data" / "0117_1620"
FIRST, COUNT = 123, 12
IDENTITY = Registration.identity()
WINDOW = hann_window(16, 2)

needs_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU, PyTorch finds none")


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
    np.testing.assert_allclose(ours.scores, eager.scores, atol=2e-3)
    assert (ours.fused - eager.fused).abs().max() < 2 / 255


def test_each_frame_of_the_clip_gives_the_eager_session_s_box(both, frames):
    starts = [session.embed(frames[0], Crop.around(true_boxes()[0], 2, 128), IDENTITY) for session in both]
    scores = []
    for frame, box in zip(frames, true_boxes()):
        (eager, crop), (ours, _) = (locate(one, frame, box, (start, start)) for one, start in zip(both, starts))
        assert_same(ours, eager, crop)
        scores.append(ours.score)
    assert min(scores) > 0.3  # it is the target that was found


def test_the_tracker_follows_the_same_path(both, frames):
    paths = []
    for session in both:
        tracker = Tracker(session, TrackerConfig(template_interval=4))  # so that the template is renewed twice
        tracker.init(frames[0], true_boxes()[0])
        paths.append([tracker.track(frame) for frame in frames[1:]])
    for ours, eager in zip(*paths):
        # A hair's breadth of the box can be a whole pixel of the next crop, whose side is rounded up.
        assert iou(ours.box, eager.box) > 0.95
        assert ours.state is eager.state
        assert ours.score == pytest.approx(eager.score, abs=0.05)


@pytest.mark.parametrize(
    "change, registration",
    [
        (lambda frame: Frame(frame.visible, None), IDENTITY),
        (lambda frame: Frame(None, frame.thermal), IDENTITY),
        (lambda frame: Frame(cv2.resize(frame.visible, (1920, 1440)), frame.thermal), IDENTITY),
        (lambda frame: frame, Registration.homography([[1.03, 0.02, -9], [-0.02, 0.98, 4], [1e-5, 2e-5, 1]])),
    ],
    ids=["visible only", "thermal only", "larger", "homography"],
)
def test_one_graph_serves_every_frame(both, frames, change, registration):
    frame, box = change(frames[5]), true_boxes()[5]
    box = tuple(value * frame.size[0] / 640 for value in box)
    (eager, crop), (ours, _) = (locate(session, frame, box, registration=registration) for session in both)
    assert_same(ours, eager, crop, pixels=0.1 * frame.size[0] / 640)


def test_trackers_that_share_a_session_do_not_see_each_other(both, frames):
    session = both[1]
    boxes = [true_boxes()[0], (430.0, 150.0, 90.0, 240.0)]

    def run(trackers):
        for tracker, box in trackers:
            tracker.init(frames[0], box)
        return [[tracker.track(frame) for tracker, _ in trackers] for frame in frames[1:4]]

    trackers = [(Tracker(session), box) for box in boxes]
    together, alone = run(trackers), [run([one]) for one in trackers]
    for estimates, *others in zip(together, *alone):
        for shared, (own,) in zip(estimates, others):
            assert (shared.box, shared.score) == (own.box, own.score)
            assert torch.equal(shared.fused, own.fused)  # and was not written over by the frames since


def test_the_templates_are_those_of_the_call(both, frames):
    crops = [Crop.around(box, 2, 128) for box in (true_boxes()[0], (400, 300, 60, 60))]
    scores = []
    for session in both:
        one, two = (session.embed(frames[0], crop, IDENTITY) for crop in crops)
        pairs = [(one, one), (one, two), (two, two), (one, one), (two, one)]
        scores.append([locate(session, frames[1], true_boxes()[1], pair)[0].score for pair in pairs])
    eager, ours = scores
    assert ours == pytest.approx(eager, abs=2e-3)
    assert abs(eager[0] - eager[1]) > 0.01 and abs(eager[1] - eager[2]) > 0.01


def test_the_appearance_is_that_of_the_call(both, frames):
    """Where scores and window make all places equal the filter decides; the call after it has none."""
    box, config = true_boxes()[0], both[0].config
    crop = Crop.around(box, 4, config.search_size)
    found = []
    for session in both:
        template = session.embed(frames[0], Crop.around(box, 2, config.template_size), IDENTITY)
        arguments = template, template, frames[0], crop, IDENTITY
        plain = session.locate(*arguments, WINDOW)
        elsewhere = first_appearance(plain.fused, (0.2, 0.55, 0.2, 0.3))  # as if the target had been there
        elsewhere = elsewhere.with_sides(0.19, 0.285)  # and had grown since
        if session is both[0]:
            level = 1 / session.predict(template, template, plain.fused)[0]
        led, again = session.locate(*arguments, level, elsewhere), session.locate(*arguments, WINDOW)
        assert again.box == plain.box and again.spectrum is again.sizes is again.response is None
        assert again.scale is again.responses is None
        # Outside of a graph a GPU's convolutions are in TF32.
        assert torch.allclose(led.spectrum, spectrum_of(led.fused), atol=2e-2)
        sizes = sizes_of(led.fused, torch.tensor(led.box), elsewhere.sides)
        assert torch.allclose(led.sizes.cpu(), sizes.cpu(), atol=1e-2)
        found.append((led.score, led.response, led.scale))
        responses = elsewhere.correlation_filter.respond(spectrum_of(led.fused)).cpu().numpy()
        assert np.allclose(led.responses, responses, atol=1e-2)
        assert np.allclose(led.scores, plain.scores, atol=1e-2)
        assert abs(led.scale - 1) > 0.01
        assert plain.score > 0.3 > led.score
    assert found[1] == pytest.approx(found[0], abs=2e-3)


def parts(appearance):
    """Its tensors."""
    filters = appearance.correlation_filter, appearance.scale_filter
    return [*(value for one in filters for value in vars(one).values()), appearance.sides]


def test_what_is_learnt_is_that_of_the_call(both, frames):
    """Of two targets in turn, from what was located before the other one was."""
    boxes = [true_boxes()[0], (430.0, 150.0, 90.0, 240.0)]
    learnt = []
    for session in both:
        known, seen, places = [], [], []
        for box in boxes:
            plain, crop = locate(session, frames[0], box)
            places.append(tuple(value / crop.size for value in crop.box_to_crop(box)))
            known.append(first_appearance(plain.fused, places[-1]))
            template = session.embed(frames[0], Crop.around(box, 2, 128), IDENTITY)
            seen.append(session.locate(template, template, frames[1], crop, IDENTITY, WINDOW, known[-1]))
        learnt.append([session.learn(*lesson, 0.3) for lesson in zip(known, seen, places)])
    for eager, ours in zip(*learnt):
        for one, other in zip(parts(eager), parts(ours)):
            one, other = one.cpu(), other.cpu()
            assert (one - other).abs().max() < 0.02 * one.abs().max()
    assert not torch.allclose(*(appearance.correlation_filter.transfer.cpu() for appearance in learnt[1]), atol=0.1)


def test_the_steps_do_nothing_that_a_capture_forbids():
    """On tensors without values, of a GPU: no step waits for one, none depends on one, none leaves the device."""
    from torch._subclasses.fake_tensor import FakeTensorMode
    from torch.utils._python_dispatch import TorchDispatchMode

    class OnDevice(TorchDispatchMode):
        def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
            result = operation(*args, **(kwargs or {}))
            places = {x.device.type for x in tree_leaves(result) if isinstance(x, torch.Tensor)}
            assert places <= {"cuda"}, operation
            return result

    network, _ = load_network("tiny", "random", scan="blocked")
    config, cuda = network.config, torch.device("cuda")
    with FakeTensorMode(allow_non_fake_inputs=True), torch.inference_mode():
        network.to_empty(device=cuda)
        templates = torch.zeros(2, 1, config.template_tokens, config.width, device=cuda)
        template, search = StagedCrop(config.template_size, cuda), StagedCrop(config.search_size, cuda, 16)
        nothing, lesson = no_appearance(config.search_size, cuda), Lesson(config.search_size, cuda)
        with OnDevice():
            tokens = embed_step(network, torch.float32, template)
            answer, fused, *_ = locate_step(network, torch.float32, search, templates, nothing)
            learnt = learn_step(nothing, lesson)
    assert all(new.shape == old.shape and new.dtype == old.dtype for new, old in zip(parts(learnt), parts(nothing)))
    assert (tokens.shape, answer.shape, fused.shape) == (templates[0].shape, (7 + 16**2 + 32**2,), (3, 256, 256))


def test_what_a_capture_forbade_is_said_in_one_line(both, monkeypatch):
    """What PyTorch raises: CUDA's error, with advice below it, and for the end of the capture another one."""
    advice = "\nCUDA kernel errors might be asynchronously reported at some other API call."

    def fail(step, stream):
        try:
            raise RuntimeError(f"CUDA error: operation not permitted when stream is capturing{advice}")
        finally:
            raise RuntimeError(f"CUDA error: operation failed due to a previous error during capture{advice}")

    monkeypatch.setattr(cuda_graph, "capture", fail)
    monkeypatch.setattr(both[1], "_stream", object())
    with pytest.raises(CaptureError, match=": CUDA error: operation not permitted when stream is capturing; runtime"):
        both[1]._program(lambda: None)
    monkeypatch.setattr(cuda_graph, "capture", lambda step, stream: 1 / 0)
    with pytest.raises(CaptureError, match=": division by zero; runtime"):
        try:
            raise ValueError("of something else")
        except ValueError:
            both[1]._program(lambda: None)


def test_on_a_cpu_the_runtime_is_refused_and_not_chosen():
    with pytest.raises(ValueError, match="'cuda_graph' cannot run on device cpu: it needs a CUDA GPU"):
        open_session("tiny", "cpu", "cuda_graph", weights="random")
    assert open_session("tiny", "cpu", weights="random").info.runtime == "eager"


@needs_cuda
@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_lower_precision_stays_within_a_pixel(frames, precision):
    exact, reduced = EagerSession(*load_network("tiny"), "cuda", "float32"), open_both("cuda", precision)[1]
    for frame, box in zip(frames, true_boxes()):
        (eager, crop), (ours, _) = (locate(session, frame, box) for session in (exact, reduced))
        assert np.abs(np.subtract(ours.box, eager.box)).max() * crop.side < 1


@needs_cuda
def test_a_gpu_gets_graphs_by_default_and_a_frame_allocates_nothing_new(frames):
    session = open_session("tiny", "cuda")
    assert session.info.runtime == "cuda_graph"
    template = session.embed(frames[0], Crop.around(true_boxes()[0], 2, 128), IDENTITY)
    locate(session, frames[0], true_boxes()[0], (template, template))
    reserved = torch.cuda.memory_reserved()
    for frame, box in zip(frames, true_boxes()):
        locate(session, frame, box, (template, template))
    assert torch.cuda.memory_reserved() == reserved


@needs_cuda
def test_a_gpu_gets_the_larger_model_by_default():
    assert open_session(device="cuda", weights="random").info.model == "small"


@needs_cuda
def test_graphs_run_in_another_thread_than_the_one_that_made_them(both, frames):
    expected, _ = locate(both[1], frames[1], true_boxes()[1])
    with ThreadPoolExecutor(1) as pool:
        ours, _ = pool.submit(locate, both[1], frames[1], true_boxes()[1]).result()
    assert (ours.box, ours.score) == (expected.box, expected.score)


@needs_cuda
def test_what_was_learnt_can_be_read_at_once(frames):
    session = CudaGraphSession(*load_network("tiny"), "cuda", "float32")
    box = true_boxes()[0]
    plain, crop = locate(session, frames[0], box)
    place = tuple(value / crop.size for value in crop.box_to_crop(box))
    template, known = session.embed(frames[0], Crop.around(box, 2, 128), IDENTITY), first_appearance(plain.fused, place)
    located = session.locate(template, template, frames[1], crop, IDENTITY, WINDOW, known)
    awaited = session.learn(known, located, place, 0.3)
    torch.cuda.synchronize()
    with torch.cuda.stream(session._stream):
        torch.cuda._sleep(2 * 10**8)  # cycles: a tenth of a second
    at_once = session.learn(known, located, place, 0.3)
    assert all(torch.equal(one.cpu(), other.cpu()) for one, other in zip(parts(at_once), parts(awaited)))


@needs_cuda
def test_a_network_that_cannot_be_captured_is_an_error_that_says_so():
    network, provenance = load_network("tiny", "random")
    fuse = network.fusion.forward
    network.fusion.forward = lambda visible, thermal: fuse(visible, thermal * float(visible.max()))
    with pytest.raises(CaptureError, match="'cuda_graph' cannot run on cuda.*runtime 'eager'"):
        CudaGraphSession(network, provenance, "cuda")
