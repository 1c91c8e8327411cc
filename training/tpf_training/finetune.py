"""Fine-tune a tracker on the task loss alone: `python -m tpf_training.finetune --data PATH --run runs/small ...`.

The run folder holds `state.pt` (resumes exactly), `log.csv`, and `weights.safetensors` (the moving average of the
weights, what the tracker loads). Learning rates warm up, stay, and fall to zero over the last `--decay` steps; a run
resumed with a larger `--steps` goes on from where it was.
"""

import argparse
import csv
import dataclasses
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from safetensors.torch import load_file
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from tpf_model.config import load_variant
from tpf_model.network import TPFNetwork
from tpf_model.weights import load_network, save_network
from tpf_training.datasets.record import DatasetError
from tpf_training.initial_weights import load_encoder
from tpf_training.losses.task import task_loss
from tpf_training.provenance import describe, origin
from tpf_training.sampling import Mixture, build_mixture, check_weights, collate, default_cache, to_float
from tpf_training.teacher import Captured, Teacher
from tpf_training.weight_selection import select_weights


@dataclass(frozen=True)
class Schedule:
    """Steps of the whole run, of the linear warm-up at its start and of the linear decay at its end."""

    steps: int
    warmup: int
    decay: int

    def factor(self, step: int) -> float:
        """What the learning rates are multiplied with at `step`, counted from 0."""
        return min(1.0, (step + 1) / max(1, self.warmup), (self.steps - step) / max(1, self.decay))


class Draws(torch.utils.data.Dataset):
    """The endless mixture as numbered draws: number i is the same sample in every run of one seed."""

    def __init__(self, mixture: Mixture, seed: int, start: int, count: int):
        self.mixture, self.seed, self.start, self.count = mixture, seed, start, count

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int):
        return self.mixture.sample(np.random.default_rng((self.seed, self.start + index)))


def trainable_groups(network: TPFNetwork, args: argparse.Namespace) -> list[dict]:
    """Optimiser groups with their learning rates; freezes what `args` says and leaves it out."""
    encoder = network.encoder
    frozen = [encoder.patch_embed, *encoder.blocks[: args.frozen_blocks]] if args.frozen_blocks else []
    if args.fusion_lr == 0:
        frozen.append(network.fusion)
    for module in frozen:
        module.requires_grad_(False)
    if args.frozen_blocks:
        encoder.cls_token.requires_grad_(False)
    rates = {network.fusion: args.fusion_lr, encoder: args.encoder_lr, network.head: args.head_lr}
    groups = []
    for part, rate in rates.items():
        parameters = [p for p in part.parameters() if p.requires_grad]
        if parameters:
            groups.append({"params": parameters, "lr": rate, "peak": rate})
    return groups


def choose_device(name: str) -> torch.device:
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    return torch.device(name)


def fuse_batch(network: TPFNetwork, batch: dict, device: torch.device) -> list[torch.Tensor]:
    """The fused template, dynamic template and search crops. A fusion that does not learn runs without a graph."""
    images = to_float(batch, device)
    learns = any(parameter.requires_grad for parameter in network.fusion.parameters())
    with torch.set_grad_enabled(learns):
        return [
            network.fuse(images[f"{name}_visible"], images[f"{name}_thermal"])
            for name in ("template", "dynamic", "search")
        ]


def train(args: argparse.Namespace) -> None:
    # Before the loader's processes are forked: OpenCV's thread pool does not survive a fork, and several only get in
    # each other's way.
    cv2.setNumThreads(1)
    device = choose_device(args.device)
    torch.manual_seed(args.seed)
    if not args.resume and (args.run / "state.pt").exists():
        raise FileExistsError(f"{args.run} holds a run: --resume goes on with it, another --run starts a new one")
    args.run.mkdir(parents=True, exist_ok=True)
    mixture = build_mixture(args.data, dict(args.source), args.cache, args.seed)
    network, start = start_network(args)
    network.to(device).train()
    teacher = Teacher(args.teacher, None, network).to(device).train() if args.teacher else None
    average = AveragedModel(network, multi_avg_fn=get_ema_multi_avg_fn(args.average), use_buffers=True)
    groups = trainable_groups(network, args)
    if teacher:
        projections = list(teacher.projections.parameters())
        groups.append({"params": projections, "lr": args.head_lr, "peak": args.head_lr})
    optimiser = torch.optim.AdamW(groups, weight_decay=1e-4)
    step = resume(args.run / "state.pt", network, average, optimiser) if args.resume else 0
    schedule = Schedule(args.steps, args.warmup, args.decay)
    loader = torch.utils.data.DataLoader(
        Draws(mixture, args.seed, step * args.batch, (args.steps - step) * args.batch),
        batch_size=args.batch,
        collate_fn=collate,
        num_workers=args.workers,
        prefetch_factor=4 if args.workers else None,
    )
    log = Log(args.run / "log.csv", args.steps)
    for batch in loader:
        for group in optimiser.param_groups:
            group["lr"] = group["peak"] * schedule.factor(step)
        fused = fuse_batch(network, batch, device)  # in float32, as in the tracker
        with torch.autocast(device.type, torch.bfloat16, enabled=args.amp):
            with Captured(network.encoder) as captured:
                prediction = network(*fused)
            distillation = teacher(captured, fused) if teacher else 0.0
        loss, parts = task_loss(prediction, batch["box"].to(device))
        if teacher:
            loss = loss + args.teacher_weight * distillation
            parts["distillation"] = distillation.item()
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_([p for g in optimiser.param_groups for p in g["params"]], 1.0)
        optimiser.step()
        average.update_parameters(network)
        step += 1
        log.add(step, parts)
        if step % args.save_every == 0 or step == args.steps:
            save_state(args.run / "state.pt", step, network, average, optimiser)
            provenance = describe(args, step, mixture.shares, start)
            save_network(average.module, args.run / "weights.safetensors", provenance)


def start_network(args: argparse.Namespace) -> tuple[TPFNetwork, dict]:
    """The network before its first step, and where it comes from: given weights, or random with a pretrained encoder."""
    network = TPFNetwork(dataclasses.replace(load_variant(args.model), fusion=args.fusion))
    if args.weights:
        load_start(network, args.weights)
        return network, {"weights": origin(args.weights)}
    if args.teacher:
        large, provenance = load_network(args.teacher)
        select_weights(network, large)
        return network, {"selected from": {"model": args.teacher, "provenance": provenance}}
    if args.encoder:
        unused = load_encoder(network.encoder, args.encoder)
        print(f"encoder starts from {args.encoder.name}; unused in it: {', '.join(unused) or 'nothing'}")
        return network, {"encoder": origin(args.encoder)}
    return network, {"weights": "random"}


def load_start(network: TPFNetwork, path: Path) -> None:
    """Load a whole network's weights; only the adapter may be missing, where a run by addition went before."""
    result = network.load_state_dict({name: tensor.float() for name, tensor in load_file(path).items()}, strict=False)
    lacking = [name for name in result.missing_keys if not name.startswith("fusion.") and "num_batches" not in name]
    if lacking or result.unexpected_keys:
        raise ValueError(f"{path} does not fit: lacks {lacking[:5]}, has {result.unexpected_keys[:5]} too many")


def save_state(path: Path, step: int, network: nn.Module, average: AveragedModel, optimiser) -> None:
    """Write all that a run needs to go on as if it had not stopped."""
    parts = {"network": network, "average": average, "optimiser": optimiser}
    partial = path.with_suffix(".partial")
    torch.save({"step": step, **{name: part.state_dict() for name, part in parts.items()}}, partial)
    partial.replace(path)


def resume(path: Path, network: nn.Module, average: AveragedModel, optimiser) -> int:
    """Load what `save_state` wrote and return the number of steps done; a missing file starts from nothing."""
    if not path.is_file():
        return 0
    state = torch.load(path, weights_only=True)
    network.load_state_dict(state["network"])
    average.load_state_dict(state["average"])
    optimiser.load_state_dict(state["optimiser"])
    return state["step"]


class Log:
    """Appends the mean of every `window` steps to a CSV file and shows it."""

    def __init__(self, path: Path, steps: int, window: int = 20):
        self.path, self.steps, self.window = path, steps, window
        self.rows, self.started = [], time.monotonic()

    def add(self, step: int, parts: dict[str, float]) -> None:
        self.rows.append(parts)
        if len(self.rows) < self.window:
            return
        means = {name: sum(row[name] for row in self.rows) / self.window for name in parts}
        seconds = (time.monotonic() - self.started) / self.window
        self.rows, self.started = [], time.monotonic()
        line = {name: f"{value:.4f}" for name, value in means.items()} | {"seconds_per_step": f"{seconds:.3f}"}
        print(f"{step}/{self.steps}", " ".join(f"{name} {value}" for name, value in line.items()), flush=True)
        line = {"step": step} | line
        new = not self.path.exists()
        with self.path.open("a", newline="") as file:
            writer = csv.DictWriter(file, line)
            if new:
                writer.writeheader()
            writer.writerow(line)


def source_weight(text: str) -> tuple[str, float]:
    """Read NAME=WEIGHT of `--source`."""
    name, _, weight = text.partition("=")
    try:
        check_weights({name: float(weight)})
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is no NAME=WEIGHT: {error}") from error
    return name, float(weight)


def parse_arguments(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of the training data")
    parser.add_argument(
        "--source",
        type=source_weight,
        action="append",
        default=[],
        metavar="NAME=WEIGHT",
        help="how often a source is drawn; 0 leaves it out; repeatable",
    )
    parser.add_argument("--cache", type=Path, default=default_cache(), help="folder for decoded videos (%(default)s)")
    parser.add_argument("--run", type=Path, required=True, help="folder for checkpoints, log and weights")
    parser.add_argument("--model", default="small")
    parser.add_argument("--fusion", choices=["pfa", "addition"], default="pfa")
    parser.add_argument("--encoder", type=Path, help="pretrained plain ViT (safetensors, timm's names) to start from")
    parser.add_argument("--weights", type=Path, help="whole network to start from (safetensors)")
    parser.add_argument("--teacher", help="model whose shipped weights the encoder learns to imitate, and starts from")
    parser.add_argument("--teacher-weight", type=float, default=4.0, help="of the distillation loss beside the task's")
    parser.add_argument("--resume", action="store_true", help="go on from the run folder's state")
    parser.add_argument("--steps", type=int, default=2000, help="steps of the whole run")
    parser.add_argument("--batch", type=int, default=16, help="samples a step")
    parser.add_argument("--warmup", type=int, default=100, help="steps")
    parser.add_argument("--decay", type=int, default=400, help="steps at the end in which learning rates fall to zero")
    parser.add_argument("--fusion-lr", type=float, default=1e-3, help="0 freezes the fusion adapter")
    parser.add_argument("--encoder-lr", type=float, default=1e-4)
    parser.add_argument("--head-lr", type=float, default=1e-3)
    parser.add_argument("--frozen-blocks", type=int, default=0, help="first blocks of the encoder, kept as they are")
    parser.add_argument("--average", type=float, default=0.995, help="decay of the weights' moving average")
    parser.add_argument("--amp", action=argparse.BooleanOptionalAction, default=True, help="bfloat16 matrix products")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:N")
    parser.add_argument("--workers", type=int, default=1, help="data loading processes")
    parser.add_argument("--save-every", type=int, default=200, help="steps between checkpoints")
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args(arguments)


def main() -> None:
    try:
        train(parse_arguments())
    except (DatasetError, FileExistsError) as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
