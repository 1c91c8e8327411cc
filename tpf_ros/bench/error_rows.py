"""How far every way of computing is from the reference: the same in float64, its scans one token after the other."""

import functools

import numpy as np
import torch

from tpf_model.crop import Crop
from tpf_model.decode import decode, hann_window
from tpf_model.pair import crop_pair
from tpf_model.registration import Registration
from tpf_model.runtime.session import Located
from tpf_model.selective_scan import ScanBackendError, selective_scan
from tpf_model.weights import load_network
from tpf_ros.bench.conditions import Conditions
from tpf_ros.bench.row import Measured, NotMeasured, Results, Target
from tpf_ros.bench.scene import make_scene
from tpf_ros.bench.sessions import open_here

_SCANS = (("blocked", "cpu"), ("native", "cpu"), ("blocked", "cuda"), ("mamba", "cuda"), ("triton", "cuda"))
_SESSIONS = (  # runtime, precision, device
    ("eager", "float32", "cpu"),
    ("eager", "bfloat16", "cpu"),
    ("onnx", "float32", "cpu"),
    ("eager", "float32", "cuda"),
    ("eager", "bfloat16", "cuda"),
    ("cuda_graph", "float32", "cuda"),
    ("cuda_graph", "bfloat16", "cuda"),
)
_MODEL = "tiny"
# Cut out without resampling, which devices round differently: pixels of `make_scene`, around its box.
_TEMPLATE = Crop(256, 181, 128, 128)
_SEARCH = Crop(200, 110, 256, 256)


def _scan_target(scan: str, device: str) -> Target:
    what = f"selective scan, {scan}, {device}: largest error / largest output"
    return Target(f"error.scan_{scan}_{device}", what, "of scale", "<=", 1e-5)


def _session_targets(runtime: str, precision: str, device: str) -> tuple[Target, ...]:
    """Of the scale, and in lower precisions of the box in pixels, too."""
    name, way = f"error.{runtime}_{precision}_{device}", f"{_MODEL} by {runtime}, {precision}, {device}"
    what = f"{way}: largest error of fused image, score and box / their scale"
    if precision == "float32":
        return (Target(name, what, "of scale", "<=", 1e-5),)
    box = Target(f"{name}_box", f"{way}: largest error of the box's edges", "px", "<=", 1)
    return Target(name, what, "of scale", "<=", 1e-2), box


SCANS = tuple(_scan_target(*scan) for scan in _SCANS)
SESSIONS = tuple(target for session in _SESSIONS for target in _session_targets(*session))


def measure_scans(conditions: Conditions) -> Results:
    """On 1,024 tokens, 32 channels, 16 states, with step sizes from slow to fast decay."""
    generator = torch.Generator().manual_seed(0)
    rand = functools.partial(torch.rand, generator=generator)
    delta = 1e-4 * 5e4 ** rand(1, 32, 1024)
    u, B, C = (2 * rand(1, *shape, 1024) - 1 for shape in ((32,), (2, 16), (2, 16)))
    operands = u, delta, -torch.arange(1.0, 17.0).repeat(32, 1), B, C, torch.ones(32)
    wanted = selective_scan(*(operand.double() for operand in operands), "reference")
    results: Results = {}
    for target, (scan, device) in zip(SCANS, _SCANS):
        try:
            where, name = _device(device, conditions)
            got = selective_scan(*(operand.to(where) for operand in operands), scan)
            results[target.name] = Measured(_error(got, wanted), name)
        except NotMeasured as reason:
            results[target.name] = reason
        except ScanBackendError as error:
            results[target.name] = NotMeasured(str(error))
    return results


def measure_sessions(conditions: Conditions) -> Results:
    wanted = _reference()
    results: Results = {}
    for session in _SESSIONS:
        targets = _session_targets(*session)
        try:
            measured = _session_errors(*session, wanted, conditions)
        except NotMeasured as reason:
            measured = [reason] * len(targets)
        results |= {target.name: result for target, result in zip(targets, measured)}
    return results


def _session_errors(
    runtime: str, precision: str, device: str, wanted: Located, conditions: Conditions
) -> tuple[Measured, Measured]:
    """Of the scale, and of the box in pixels."""
    where, name = _device(device, conditions)
    session = open_here(_MODEL, where, conditions, runtime=runtime, precision=precision)
    frame, straight = make_scene(), Registration.identity()
    template = session.embed(frame, _TEMPLATE, straight)
    got = session.locate(template, template, frame, _SEARCH, straight, _window())
    errors = {
        "fused image": _error(got.fused, wanted.fused),
        "score": abs(got.score - wanted.score),
        "box": max(abs(a - b) for a, b in zip(_edges(got.box), _edges(wanted.box))),
    }
    return Measured(max(errors.values()), name, errors), Measured(errors["box"] * _SEARCH.side, name)


def _device(kind: str, conditions: Conditions) -> tuple[torch.device, str]:
    if kind == "cpu":
        return torch.device("cpu"), conditions.cpu()
    gpu = conditions.gpu()
    return gpu, torch.cuda.get_device_name(gpu)


@torch.inference_mode()
def _reference() -> Located:
    """What a session's `locate` would say."""
    network = load_network(_MODEL, scan="reference")[0].double()
    frame = make_scene()

    def fuse(crop: Crop) -> torch.Tensor:
        pair = crop_pair(frame, crop, Registration.identity())
        visible, thermal = (torch.from_numpy(image).double() / 255 for image in pair)
        return network.fuse(visible.permute(2, 0, 1)[None], thermal.expand(1, 3, *thermal.shape))

    template, search = network.embed_template(fuse(_TEMPLATE)), fuse(_SEARCH)
    maps = network.predict(network.encode_search(template, template, search))
    score, size, offset = maps.score[0, 0].numpy(), maps.size[0].numpy(), maps.offset[0].numpy()
    return Located(*decode(score, size, offset, _window()), score, search[0])


def _window() -> np.ndarray:
    return hann_window(16)


def _edges(box: tuple[float, float, float, float]) -> tuple[float, float, float, float]:
    x, y, w, h = box
    return x, y, x + w, y + h


def _error(got: torch.Tensor, wanted: torch.Tensor) -> float:
    """The largest, of the reference's largest absolute value."""
    return float((got.cpu().double() - wanted).abs().max() / wanted.abs().max())
