"""Samples a second of the training data's loader, and where the time goes.

python benchmarks/bench_loader.py --data DATA [--samples 200] [--workers 0 1 2] [--batch 16]

One process first: samples a second of each source and of the mixture, in CPU time, and how a sample's time divides
into decoding, cropping, augmenting and collating. Decoding is that of image files; videos are decoded once, at the
start. What image files cost is shown on the frames of the first paired clip, written as JPEG files. Then the loader as
training runs it, in wall time, for each number of worker processes, as a ratio to the first of them.
"""

import argparse
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np
import torch

from tpf_training.config.run import RunConfig
from tpf_training.datasets.folder import read_folder
from tpf_training.datasets.image_sequence import ImageSequence
from tpf_training.datasets.record import Clip
from tpf_training.engine.draws import make_loader
from tpf_training.sampling import Mixture, build_mixture, collate, default_cache
from tpf_training.sampling import mixture as mixture_module
from tpf_training.sampling.clip_source import ClipSource

JPEG_FRAMES = 60


class Stopwatch:
    """Adds up the CPU time that calls of a function take."""

    def __init__(self, function):
        self.function, self.seconds = function, 0.0

    def __call__(self, *args, **kwargs):
        start = time.process_time()
        result = self.function(*args, **kwargs)
        self.seconds += time.process_time() - start
        return result


def measure(mixture: Mixture, source: str | None, samples: int, batch: int) -> tuple[float, dict[str, float]]:
    """Samples a second of CPU time, and the share of decoding, cropping, augmenting and collating in it."""
    draw = [mixture.sample(np.random.default_rng((1, i)), source) for i in range(10)]  # warm up
    finish, decode = Stopwatch(mixture_module.finish), Stopwatch(ImageSequence.__getitem__)
    originals = mixture_module.finish, ImageSequence.__getitem__
    mixture_module.finish, ImageSequence.__getitem__ = finish, lambda *args: decode(*args)
    try:
        start = time.process_time()
        draw = [mixture.sample(np.random.default_rng((2, i)), source) for i in range(samples)]
        sampled = time.process_time()
        for first in range(0, samples, batch):
            collate(draw[first : first + batch])
        end = time.process_time()
    finally:
        mixture_module.finish, ImageSequence.__getitem__ = originals
    crop = sampled - start - finish.seconds - decode.seconds
    parts = {"decode": decode.seconds, "crop": crop, "augment": finish.seconds, "collate": end - sampled}
    return samples / (end - start), {name: seconds / (end - start) for name, seconds in parts.items()}


def show(name: str, rate: float, parts: dict[str, float], reference: float) -> None:
    shares = "  ".join(f"{part} {share:4.0%}" for part, share in parts.items())
    print(f"{name:<28} {rate:5.0f}/s  {rate / reference:4.2f} of the mixture   {shares}")


def jpeg_source(clip: Clip, folder: Path, source: ClipSource) -> ClipSource:
    """A source that draws from the first frames of `clip` as JPEG files in `folder`."""
    lines = ["frame,x,y,w,h,visible"]
    for part in ("visible", "thermal"):
        (folder / "clip" / part).mkdir(parents=True)
    for index in range(min(JPEG_FRAMES, len(clip.frames))):
        visible = cv2.cvtColor(np.asarray(clip.visible[index]), cv2.COLOR_RGB2BGR)
        for part, image in (("visible", visible), ("thermal", np.asarray(clip.thermal[index]))):
            cv2.imwrite(str(folder / "clip" / part / f"{index:06d}.jpg"), image)
        lines.append(f"{index}," + ",".join(f"{v:.2f}" for v in clip.boxes[index]) + ",1")
    (folder / "clip/boxes.csv").write_text("\n".join(lines) + "\n")
    return ClipSource(read_folder(folder), source.config)


def loader_rate(mixture: Mixture, samples: int, batch: int, workers: int) -> float:
    """Samples a second of wall time of the loader; the start of its processes does not count."""
    ahead = batch * (1 + 4 * workers)
    loader = make_loader(mixture, collate, RunConfig(samples_per_epoch=samples + ahead, batch=batch, workers=workers))
    batches = iter(loader)
    for _ in range(1 + 4 * workers):  # what was made while the processes started
        next(batches)
    start, count = time.perf_counter(), 0
    for made in batches:
        count += len(made["box"])
    return count / (time.perf_counter() - start)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of the training data")
    parser.add_argument("--cache", type=Path, default=default_cache(), help="folder for decoded videos (%(default)s)")
    parser.add_argument("--samples", type=int, default=200, help="drawn for each line")
    parser.add_argument("--workers", type=int, nargs="*", default=[0, 1, 2], help="loader processes")
    parser.add_argument("--batch", type=int, default=16)
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    torch.set_num_threads(1)

    mixture = build_mixture(arguments.data, cache=arguments.cache)
    mixed, parts = measure(mixture, None, arguments.samples, arguments.batch)
    show("mixture", mixed, parts, mixed)
    for name in mixture.sources:
        show(name, *measure(mixture, name, arguments.samples, arguments.batch), mixed)
    if "rgbt_video" in mixture.sources:
        paired = mixture.sources["rgbt_video"]
        with tempfile.TemporaryDirectory() as folder:
            mixture.sources["jpeg"] = jpeg_source(paired.clips[0], Path(folder), paired)
            height, width = paired.clips[0].thermal.shape[1:]
            rate, parts = measure(mixture, "jpeg", arguments.samples, arguments.batch)
            show(f"JPEG files of {width}x{height}", rate, parts, mixed)
            del mixture.sources["jpeg"]
    none = None
    for workers in arguments.workers:
        rate = loader_rate(mixture, arguments.samples, arguments.batch, workers)
        none = none or rate
        print(f"loader with {workers} processes: {rate:.0f}/s, {rate / none:.2f} of the first")


if __name__ == "__main__":
    main()
