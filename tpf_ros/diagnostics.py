"""The node's state as diagnostic_msgs, once a second: both inputs, the pairing, and the tracker."""

import math
import time
from collections import deque
from dataclasses import dataclass

import numpy as np
from diagnostic_msgs.msg import DiagnosticStatus, KeyValue

from tpf_model.runtime import SessionInfo
from tpf_model.timing.peak_memory import peak_memory
from tpf_model.tracker import State
from tpf_ros.inputs import StreamStatistics
from tpf_ros.modality_health import Health
from tpf_ros.parameters import MAX_OFFSET, SyncSettings
from tpf_ros.provenance import provenance
from tpf_ros.synchroniser import Synchroniser
from tpf_ros.worker import Result, Worker

_WINDOW = 300  # results that the percentiles are of
_STUCK = 5.0  # s that one pass may take before it is an error


class Outcomes:
    """What was published lately, of the present target. Added to in the worker's thread, read in the executor's."""

    def __init__(self):
        self._latencies: deque[float] = deque(maxlen=_WINDOW)
        self._sync_errors: deque[float] = deque(maxlen=_WINDOW)
        self.id, self._tracking = 0, False  # of the target
        self.published_at: float | None = None  # time.monotonic()

    def add(self, result: Result, latency: float) -> None:
        """latency: s from the stamp to publication."""
        tracking = result.state is not State.IDLE
        if (result.id, tracking) != (self.id, self._tracking):
            self._latencies.clear()  # without a target a frame takes no time
        self.id, self._tracking, self.published_at = result.id, tracking, time.monotonic()
        if result.stale:
            return
        if math.isfinite(latency):
            self._latencies.append(latency)
        if result.seen.note.difference is not None:
            self._sync_errors.append(abs(result.seen.note.difference) * 1e-9)

    def latencies(self) -> list[float]:
        return list(self._latencies)

    def sync_errors(self) -> list[float]:
        return list(self._sync_errors)


class Rates:
    """Counts per second between two calls for the same name."""

    def __init__(self):
        self._last: dict[str, tuple[int, float]] = {}

    def rate(self, name: str, count: int) -> float:
        """0 at the first call, and where the counter has been reset."""
        now = time.monotonic()
        before, then = self._last.get(name, (count, now))
        self._last[name] = (count, now)
        return max(0, count - before) / (now - then) if now > then else 0.0


@dataclass
class Report:
    """A DiagnosticStatus in the making: the worst complaint is its message."""

    name: str
    values: dict[str, str]
    level: bytes = DiagnosticStatus.OK
    message: str = "ok"

    def complain(self, level: bytes, message: str) -> None:
        if level > self.level:
            self.level, self.message = level, message

    def status(self, prefix: str, hardware_id: str) -> DiagnosticStatus:
        values = [KeyValue(key=key, value=value) for key, value in self.values.items()]
        name = f"{prefix}: {self.name}"
        return DiagnosticStatus(
            level=self.level, name=name, message=self.message, hardware_id=hardware_id, values=values
        )


def input_report(name: str, statistics: StreamStatistics, health: Health, rates: Rates, unheard: str = "") -> Report:
    """Of one camera. Keys carry its name: tools that merge all values keep both. unheard: see `Inputs.unheard`."""
    bad = sum(statistics.bad.values())
    age = math.nan if statistics.last is None else (time.monotonic_ns() - statistics.last) * 1e-9
    values = {
        f"{name} topic": statistics.topic,
        f"{name} health": health.name,
        f"{name} received": str(statistics.received),
        f"{name} rate (Hz)": f"{rates.rate(name, statistics.received):.1f}",
        f"{name} age (s)": f"{age:.2f}",
        f"{name} bad messages": str(bad),
    }
    values.update({f"{name} bad: {reason}": str(count) for reason, count in statistics.bad.items()})
    report = Report(name, values)
    bad_come, repeats_come = rates.rate(f"{name} bad", bad) > 0, rates.rate(f"{name} repeats", statistics.repeats) > 0
    if bad_come:
        report.complain(DiagnosticStatus.WARN, "bad messages are dropped; see the reasons below")
    if health == Health.SILENT:
        report.level = DiagnosticStatus.OK  # says more than the messages before
        why = statistics.last_bad if bad_come else "their stamp does not advance" if repeats_come else unheard
        what = f"{'usable images' if bad_come or repeats_come else 'images'} on {statistics.topic}"
        report.complain(DiagnosticStatus.WARN, f"no {what}: {why}" if why else f"no {what}")
    elif health != Health.OK:
        report.complain(DiagnosticStatus.WARN, f"images are {health.name.lower()}, they are not used")
    return report


def pairing_report(synchroniser: Synchroniser, sync: SyncSettings, outcomes: Outcomes, rates: Rates) -> Report:
    visible, thermal = synchroniser.visible, synchroniser.thermal
    offset = synchroniser.suggested_offset()
    offset = None if offset is None else offset * 1e-9
    errors = outcomes.sync_errors()
    paired = rates.rate("pairs", visible.paired)
    values = {
        "pairs": str(visible.paired),
        "pair rate (Hz)": f"{paired:.1f}",
        "sync error p50 (ms)": _percentile(errors, 50),
        "sync error p99 (ms)": _percentile(errors, 99),
        "visible alone": str(visible.alone),
        "thermal alone": str(thermal.alone),
        "visible unpaired": str(visible.unpaired),
        "thermal unpaired": str(thermal.unpaired),
        "repeated stamps": str(synchroniser.duplicates),
        "stamps out of order": str(synchroniser.out_of_order),
        "clock restarts": str(synchroniser.restarts),
        "sync.thermal_offset by arrival (s)": "" if offset is None or abs(offset) > MAX_OFFSET else f"{offset:.3f}",
    }
    report = Report("pairing", values)
    good = ("visible good", visible.good), ("thermal good", thermal.good)
    arriving = all([rates.rate(name, count) for name, count in good])
    if arriving and paired == 0:
        hint = offset_hint(offset, sync)
        report.complain(DiagnosticStatus.WARN, f"both cameras send images, but no stamps match{hint}")
    return report


def offset_hint(offset: float | None, sync: SyncSettings) -> str:
    """What the `offset` (s) that the images' arrival suggests says beyond the present one; empty where nothing."""
    if offset is None or abs(offset - sync.thermal_offset) < sync.max_difference:
        return ""
    if abs(offset) > MAX_OFFSET:
        return "; the cameras' clocks have nothing in common: set them to one time"
    return f"; by their arrival sync.thermal_offset should be near {offset:.3f} s"


def tracker_report(
    worker: Worker, info: SessionInfo, weights: str, outcomes: Outcomes, rates: Rates, unregistered: str
) -> Report:
    """weights: the parameter. unregistered: what is wrong with the thermal pixels' registration, empty for nothing."""
    latencies = outcomes.latencies()
    age = math.nan if outcomes.published_at is None else time.monotonic() - outcomes.published_at
    busy = worker.busy_since
    busy = 0.0 if busy is None else time.monotonic() - busy
    failing = rates.rate("failed", worker.failed) > 0
    values = {
        "state": worker.state.name,
        "id": str(outcomes.id),
        "enabled": str(worker.enabled).lower(),
        "processed": str(worker.processed),
        "processing rate (Hz)": f"{rates.rate('processed', worker.processed):.1f}",
        "dropped": str(worker.dropped),
        "drop rate (Hz)": f"{rates.rate('dropped', worker.dropped):.1f}",
        "failed": str(worker.failed),
        "latency p50 (ms)": _percentile(latencies, 50),
        "latency p95 (ms)": _percentile(latencies, 95),
        "latency p99 (ms)": _percentile(latencies, 99),
        "output age (s)": f"{age:.2f}",
        "peak memory (MB)": f"{peak_memory() / 1e6:.0f}",
        "model": info.model,
        "device": info.device,
        "runtime": info.runtime,
        "scan": info.scan,
        "precision": info.precision,
        "weights": provenance(info, weights),
    }
    report = Report("tracker", values, message=worker.state.name.lower())
    if unregistered:
        report.complain(DiagnosticStatus.WARN, unregistered)
    if worker.state is State.LOST:
        report.complain(DiagnosticStatus.WARN, "the target is lost, a wider region is searched")
    if worker.state is State.ERROR:
        why = "the tracker raised an error; see the log" if failing else "no usable image"
        report.complain(DiagnosticStatus.ERROR, why)
    if busy > _STUCK:
        report.complain(DiagnosticStatus.ERROR, f"one pass of the model runs for {busy:.0f} s")
    return report


def _percentile(seconds: list[float], percent: float) -> str:
    return f"{np.percentile(seconds, percent) * 1e3:.1f}" if seconds else ""
