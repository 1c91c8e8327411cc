"""Rows of a CPU: `tiny`'s fusion adapter and frame, and the encoder and head in 8 bit."""

from collections.abc import Callable

from tpf_model.runtime import TPFSession
from tpf_model.timing.side_by_side import Timings, time_side_by_side
from tpf_model.timing.spread import Spread
from tpf_model.timing.threads import pinned_threads
from tpf_ros.bench.conditions import Conditions
from tpf_ros.bench.row import Measured, NotMeasured, Results, Target
from tpf_ros.bench.sessions import EAGER, INT8, adapter_call, encoder_call, frame_call, label, open_here

FRAME = (
    Target("cpu.adapter_against_eager", "tiny's fusion adapter: blocked PyTorch's time / the compiled kernel's", "x", ">=", 10),
    Target("cpu.adapter_share", "the compiled kernel's time / tiny's whole frame", "share", "<=", 0.15),
    Target("cpu.frame_rate", "whole tiny frame, two cores, batch 1", "FPS", ">=", 25),
    Target("cpu.frame_against_eager", "whole tiny frame: eager PyTorch's time / ours", "x", ">=", 3),
)
INT8_TIME = tuple(
    Target(f"cpu.int8_time_{model}", f"{model}'s encoder and head: 8-bit ONNX Runtime's time / eager PyTorch's", "x", "<=", 0.6)
    for model in ("tiny", "small")
)

_FRAME_RUNTIMES = ({"runtime": "eager"}, {"runtime": "onnx", "precision": "float32"}, INT8)


def measure_frame(conditions: Conditions) -> Results:
    """`tiny` by every runtime that there is; the row is of the fastest that computes in floating point."""
    device = conditions.cpu()
    with pinned_threads(conditions.threads):
        sessions = {"eager PyTorch": open_here("tiny", "cpu", conditions, **EAGER)}
        for choices in _FRAME_RUNTIMES:
            try:
                session = open_here("tiny", "cpu", conditions, **choices)
            except NotMeasured:
                continue
            sessions[label(session)] = session
        calls = {name: frame_call(session) for name, session in sessions.items()}
        calls["blocked adapter"] = adapter_call(4, "blocked", "cpu")
        missing = _add(calls, "native adapter", lambda: adapter_call(4, "native", "cpu"))
        times = time_side_by_side(calls, "cpu", conditions.seconds, conditions.rounds)
    ours = _fastest({name: session for name, session in sessions.items() if name != "eager PyTorch"}, times)
    parts = {f"{name} (ms)": 1e3 * times.spread(name).median for name in calls}
    device = f"{device}, {ours}"
    against_eager, share, rate, frame_against_eager = (target.name for target in FRAME)
    return {
        against_eager: missing or Measured(times.ratio("blocked adapter", "native adapter"), device, parts),
        share: missing or Measured(times.ratio("native adapter", ours), device, parts),
        rate: Measured(Spread.of(1 / times.seconds[ours]), device, parts),
        frame_against_eager: Measured(times.ratio("eager PyTorch", ours), device, parts),
    }


def measure_int8(conditions: Conditions) -> Results:
    """Encoder and head alone: from a fused crop and both templates to the head's maps."""
    device, results = conditions.cpu(), {}
    with pinned_threads(conditions.threads):
        for target in INT8_TIME:
            model = target.name.rpartition("_")[2]
            try:
                calls = {
                    "8 bit": encoder_call(open_here(model, "cpu", conditions, **INT8)),
                    "eager PyTorch": encoder_call(open_here(model, "cpu", conditions, **EAGER)),
                }
            except NotMeasured as reason:
                results[target.name] = reason
                continue
            times = time_side_by_side(calls, "cpu", conditions.seconds / 2, conditions.rounds)
            parts = {f"{name} (ms)": 1e3 * times.spread(name).median for name in calls}
            results[target.name] = Measured(times.ratio("8 bit", "eager PyTorch"), device, parts)
    return results


def _fastest(sessions: dict[str, TPFSession], times: Timings) -> str:
    # 8 bit costs accuracy, which is for its user to decide.
    names = [name for name, session in sessions.items() if session.info.precision != "int8"]
    return min(names, key=lambda name: times.spread(name).median)


def _add(calls: dict[str, Callable], name: str, make: Callable[[], Callable]) -> NotMeasured | None:
    try:
        calls[name] = make()
    except NotMeasured as reason:
        return reason
    return None
