"""What each stage of a tracked frame takes, measured inside real frames."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch.nn.modules.module import register_module_forward_pre_hook

from tpf_model.head import CentreHead, MergedHead
from tpf_model.runtime import TPFSession
from tpf_model.runtime.in_parts import SessionInParts


def time_stages(
    session: TPFSession, track: Callable[[], object], device: torch.device | str, frames: int
) -> dict[str, np.ndarray] | None:
    """Seconds of each stage in each of `frames` calls of `track`, which tracks a frame by `session`; they add up to it.

    crop: cutting the search region out of both images. fuse: with their upload to a GPU. encode: with the
    normalisation before it. head: with the maps' way back. decode: with the box's way into the image and the template
    rule. Where the encoder and the head are one, "encode + head" stands for both. None for a session that runs a frame
    as one. A GPU is waited for after every stage, so on one the sum is more than a frame takes by itself.
    """
    if not isinstance(session, SessionInParts) or type(session).locate is not SessionInParts.locate:
        return None
    clock = _Clock(torch.device(device))
    with _reading(session, clock):
        rows = [clock.stages_of(track) for _ in range(frames)]
    return {name: np.array([row[name] for row in rows]) for name in rows[0]}


class _Clock:
    """The moments in a frame at which its stages end, each the first of its kind: a new template is fused, too."""

    def __init__(self, device: torch.device):
        self._device = device
        self._moments: dict[str, float] = {}

    def read(self, moment: str) -> None:
        if moment not in self._moments:
            if self._device.type == "cuda":
                torch.cuda.synchronize(self._device)
            self._moments[moment] = time.perf_counter()

    def stages_of(self, track: Callable[[], object]) -> dict[str, float]:
        self._moments.clear()
        self.read("start")
        track()
        self.read("end")
        split = ("encode", "head") if "head begins" in self._moments else ("encode + head",)
        ends = ["fuse begins", "fuse ends", *(["head begins"] if len(split) == 2 else []), "predict ends", "end"]
        times = [self._moments[moment] for moment in ("start", *ends)]
        return dict(zip(("crop", "fuse", *split, "decode"), np.diff(times)))


@contextmanager
def _reading(session: SessionInParts, clock: _Clock) -> Iterator[None]:
    """The clock is read around the session's parts, and where a head of PyTorch's begins."""

    def read_at_head(module, _inputs) -> None:
        if isinstance(module, (CentreHead, MergedHead)):
            clock.read("head begins")

    hook = register_module_forward_pre_hook(read_at_head)
    for name in ("fuse", "predict"):
        setattr(session, name, _read_around(getattr(session, name), name, clock))  # hides the method of its class
    try:
        yield
    finally:
        hook.remove()
        del session.fuse, session.predict


def _read_around(part: Callable, name: str, clock: _Clock) -> Callable:
    def timed(*arguments):
        clock.read(f"{name} begins")
        result = part(*arguments)
        clock.read(f"{name} ends")
        return result

    return timed
