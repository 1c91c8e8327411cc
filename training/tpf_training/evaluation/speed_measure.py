"""Time, operations and memory of sessions that track the same frames in turns."""

import multiprocessing
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from itertools import cycle

import numpy as np
import torch

from tpf_model.boxes import Box
from tpf_model.frame import Frame
from tpf_model.runtime import TPFSession, open_session
from tpf_model.timing.cost import count_flops
from tpf_model.timing.peak_memory import peak_memory
from tpf_model.timing.side_by_side import WARM_UP, time_side_by_side
from tpf_model.timing.stages import time_stages
from tpf_model.timing.threads import pinned_threads
from tpf_model.tracker import Tracker
from tpf_model.weights import RANDOM, WeightsError, shipped_weights
from tpf_training.evaluation.arguments import NamedModel
from tpf_training.evaluation.clips import VideoSequence
from tpf_training.evaluation.one_pass import EvaluationError

_PERCENTILES = (50, 95, 99)
_STAGED = 20  # frames at most whose stages are measured
_MEMORY_FRAMES = 5
_NOISE, _NOISE_BOX = (512, 640), (300.0, 200.0, 40.0, 90.0)
_BYTES = {"float32": 4, "bfloat16": 2, "float16": 2, "int8": 1}


@dataclass(frozen=True)
class Entrant:
    """A model by a runtime in a precision, see `open_session`; without weights that ship it is untrained."""

    model: NamedModel
    runtime: str
    precision: str

    @property
    def name(self) -> str:
        return f"{self.model.name}, {self.runtime}, {self.precision}"

    def open(self, device: str, threads: int) -> TPFSession:
        """EvaluationError where the weights cannot be loaded, ValueError where the combination cannot run here."""
        weights = self.model.weights
        if weights is None and not shipped_weights(self.model.model).is_file():
            weights = RANDOM
        try:
            return open_session(
                self.model.model, device, self.runtime, weights, threads=threads, precision=self.precision
            )
        except WeightsError as error:
            raise EvaluationError(f"{self.model.name}: {error}") from error


@dataclass(frozen=True)
class Frames:
    """What is tracked: the target in `box` of the first image, then `count` measured frames. source: what they show."""

    images: list[Frame]
    box: Box
    count: int
    source: str

    @classmethod
    def of_clip(cls, sequence: VideoSequence, most: int) -> "Frames":
        """EvaluationError for a clip with too few frames after those that warm up."""
        images = [Frame(*pair) for pair in sequence.head(1 + WARM_UP + most).images()]
        left = len(images) - 1 - WARM_UP
        if left < 1:
            raise EvaluationError(f"{sequence.name} has {len(images)} frames, at least {WARM_UP + 2} are needed")
        return cls(images, tuple(sequence.boxes[0].tolist()), left, f"{sequence.name}, in order")

    @classmethod
    def of_noise(cls, count: int) -> "Frames":
        random = np.random.default_rng(0)
        images = [
            Frame(random.integers(0, 256, (*_NOISE, 3), np.uint8), random.integers(0, 256, _NOISE, np.uint8))
            for _ in range(5)
        ]
        return cls(images, _NOISE_BOX, count, f"noise of {_NOISE[1]}x{_NOISE[0]} pixels, in which nothing is tracked")

    def tracked_by(self, session: TPFSession) -> Callable[[], object]:
        """Each call tracks the next frame, after the last one again the first."""
        tracker, images = Tracker(session), cycle(self.images[1:])
        tracker.init(self.images[0], self.box)
        return lambda: tracker.track(next(images))


def measure_all(
    entrants: list[Entrant], frames: Frames, device: str, threads: int
) -> tuple[dict[str, dict], dict[str, str]]:
    """By the entrant's name: what was measured, and why others cannot run here. EvaluationError where none can."""
    with pinned_threads(threads):
        sessions, refused = _open(entrants, device, threads)
        if not sessions:
            raise EvaluationError("; ".join(f"{name}: {reason}" for name, reason in refused.items()))
        where = _device(next(iter(sessions.values())))
        calls = {entrant.name: frames.tracked_by(session) for entrant, session in sessions.items()}
        times = time_side_by_side(calls, where, rounds=(frames.count, frames.count), single=True)
        measured = {}
        for entrant, session in sessions.items():
            stages = time_stages(session, frames.tracked_by(session), where, min(frames.count, _STAGED))
            measured[entrant.name] = _describe(session) | _latency(times.seconds[entrant.name], stages)
    for entrant in sessions:  # in fresh processes: this one has the memory of all
        measured[entrant.name]["memory_mb"] |= _memory(entrant, device, threads)
    return measured, refused


def _open(entrants: list[Entrant], device: str, threads: int) -> tuple[dict[Entrant, TPFSession], dict[str, str]]:
    sessions, refused = {}, {}
    for entrant in entrants:
        try:
            sessions[entrant] = entrant.open(device, threads)
        except EvaluationError:
            raise
        except ValueError as error:
            refused[entrant.name] = str(error)
    return sessions, refused


def _device(session: TPFSession) -> torch.device:
    return torch.device(session.info.device.partition(" ")[0])


def _describe(session: TPFSession) -> dict:
    info, flops = session.info, count_flops(session.config)
    return {
        "runtime": info.runtime,
        "precision": info.precision,
        "scan": info.scan,
        "device": info.device,
        "parameters": info.parameters,
        "gflop": {stage: number / 1e9 for stage, number in (flops | {"total": sum(flops.values())}).items()},
        "memory_mb": {"weights": info.parameters["total"] * _BYTES[info.precision] / 1e6},
    }


def _latency(seconds: np.ndarray, stages: dict[str, np.ndarray] | None) -> dict:
    percentiles = np.percentile(1e3 * seconds, _PERCENTILES)
    return {
        "fps": len(seconds) / float(seconds.sum()),
        "latency_ms": {f"p{share}": float(value) for share, value in zip(_PERCENTILES, percentiles)},
        "stages_ms": stages and {name: 1e3 * float(np.median(values)) for name, values in stages.items()},
    }


def _memory(entrant: Entrant, device: str, threads: int) -> dict[str, float]:
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        return pool.submit(_track_noise, entrant, device, threads).result()


def _track_noise(entrant: Entrant, device: str, threads: int) -> dict[str, float]:
    session = entrant.open(device, threads)
    track = Frames.of_noise(_MEMORY_FRAMES).tracked_by(session)
    for _ in range(_MEMORY_FRAMES):
        track()
    where = _device(session)
    gpu = {"peak GPU": torch.cuda.max_memory_reserved(where) / 1e6} if where.type == "cuda" else {}
    return {"peak": peak_memory() / 1e6} | gpu
