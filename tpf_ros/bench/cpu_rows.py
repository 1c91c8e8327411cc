"""Rows of a CPU: `tiny`'s fusion adapter and frame, and the encoder and head alone."""

import numpy as np

from tpf_model.timing.side_by_side import time_side_by_side
from tpf_model.timing.spread import Spread
from tpf_model.timing.stages import time_stages
from tpf_model.timing.threads import pinned_threads
from tpf_ros.bench.conditions import Conditions
from tpf_ros.bench.row import Measured, NotMeasured, Results, Target
from tpf_ros.bench.sessions import INT8, encoder_call, frame_call, open_here, open_plain

ADAPTER = (
    Target("cpu.adapter_against_eager", "tiny's fusion adapter: eager blocked PyTorch's time / ours", "x", ">=", 10),
    Target("cpu.adapter_share", "its time / that of tiny's whole frame", "share", "<=", 0.15),
)
FRAME = (
    Target("cpu.frame_rate", "whole tiny frame, two cores, batch 1", "FPS", ">=", 25),
    Target("cpu.frame_against_eager", "whole tiny frame: eager PyTorch's time / ours", "x", ">=", 3),
    Target("cpu.int8_frame_rate", "whole tiny frame, encoder in 8 bit", "FPS", ">=", 25),
    Target("cpu.int8_frame_against_eager", "whole tiny frame: eager PyTorch's time / ours in 8 bit", "x", ">=", 3),
)
_MODELS = "tiny", "small"
ENCODER_TIME = tuple(
    Target(f"cpu.encoder_time_{model}", f"{model}'s encoder and head: ours in float32 / eager PyTorch's", "x", "<=", 1)
    for model in _MODELS
) + tuple(
    Target(f"cpu.int8_time_{model}", f"{model}'s encoder and head: int8's time / eager PyTorch's", "x", "<=", 0.6)
    for model in _MODELS
)

_FRAMES = 10  # in a row: after the other one's the first finds its caches cold
_PLAIN, _INT8 = "eager PyTorch", "ONNX Runtime int8"
_FLOAT32 = {"runtime": "eager", "precision": "float32"}
_FLOATING = {  # our ways, of which a row takes the fastest
    "PyTorch float32, our kernel": _FLOAT32,
    "PyTorch bfloat16, our kernel": {"runtime": "eager", "precision": "bfloat16"},
    "ONNX Runtime float32, our kernel": {"runtime": "onnx", "precision": "float32"},
}
_OURS = "PyTorch, our kernel"


def measure_adapter(conditions: Conditions) -> Results:
    """The adapter where it runs, between the other stages of real frames, with the images' way from 8 bit."""
    device = conditions.cpu()
    with pinned_threads(conditions.threads):
        ours = open_here("tiny", "cpu", conditions, runtime="eager", scan="native")
        sessions = {_PLAIN: open_plain("tiny", "cpu"), _OURS: ours}
        calls = {name: frame_call(session) for name, session in sessions.items()}
        rounds = [
            {name: time_stages(sessions[name], call, "cpu", _FRAMES) for name, call in calls.items()}
            for _ in range(conditions.rounds[0])
        ]
    adapter = {name: np.array([np.median(stages[name]["fuse"]) for stages in rounds]) for name in sessions}
    frame = np.array([np.median(sum(stages[_OURS].values())) for stages in rounds])
    parts = {f"adapter, {name} (ms)": 1e3 * float(np.median(seconds)) for name, seconds in adapter.items()}
    parts["frame, ours (ms)"] = 1e3 * float(np.median(frame))
    ratios = adapter[_PLAIN] / adapter[_OURS], adapter[_OURS] / frame
    return {target.name: Measured(Spread.of(ratio), device, parts) for target, ratio in zip(ADAPTER, ratios)}


def measure_frame(conditions: Conditions) -> Results:
    """`tiny` in floating point, by the fastest of our ways, and in 8 bit, which costs accuracy: rows of their own."""
    device = conditions.cpu()
    refused = {}
    with pinned_threads(conditions.threads):
        calls = {_PLAIN: frame_call(open_plain("tiny", "cpu"))}
        for name, how in {**_FLOATING, _INT8: INT8}.items():
            try:
                calls[name] = frame_call(open_here("tiny", "cpu", conditions, **how))
            except NotMeasured as reason:
                refused[name] = reason
        times = time_side_by_side(calls, "cpu", conditions.seconds, conditions.rounds)
    ours = min((name for name in _FLOATING if name in calls), key=lambda name: times.spread(name).median)
    parts = times.milliseconds()

    def rate(name: str) -> Measured | NotMeasured:
        return refused.get(name) or Measured(Spread.of(1 / times.seconds[name]), f"{device}: {name}", parts)

    def against_plain(name: str) -> Measured | NotMeasured:
        return refused.get(name) or Measured(times.ratio(_PLAIN, name), f"{device}: {name}", parts)

    results = rate(ours), against_plain(ours), rate(_INT8), against_plain(_INT8)
    return dict(zip((target.name for target in FRAME), results, strict=True))


def measure_encoder(conditions: Conditions) -> Results:
    """Encoder and head alone: from a fused crop and both templates to the head's maps."""
    with pinned_threads(conditions.threads):
        return {row: result for model in _MODELS for row, result in _measure_encoder(model, conditions).items()}


def _measure_encoder(model: str, conditions: Conditions) -> Results:
    calls, ways = {_PLAIN: encoder_call(open_plain(model, "cpu"))}, {_OURS: _FLOAT32, _INT8: INT8}
    refused = {}
    for name, how in ways.items():
        try:
            calls[name] = encoder_call(open_here(model, "cpu", conditions, **how))
        except NotMeasured as reason:
            refused[name] = reason
    times = time_side_by_side(calls, "cpu", conditions.seconds / 2, conditions.rounds)
    parts, device = times.milliseconds(), conditions.cpu()

    def against_plain(name: str) -> Measured | NotMeasured:
        return refused.get(name) or Measured(times.ratio(name, _PLAIN), device, parts)

    return {f"cpu.encoder_time_{model}": against_plain(_OURS), f"cpu.int8_time_{model}": against_plain(_INT8)}
