"""Train variants of one configuration with several seeds each, evaluate them alike, and print the table."""

import argparse
import hashlib
import json
import subprocess
import sys
from pathlib import Path
from statistics import mean, stdev

from omegaconf import OmegaConf

from tpf_training.config import ConfigError, change_config, load_config
from tpf_training.config.ablation import AblationConfig, VariantConfig
from tpf_training.evaluation.clips import VideoSequence, read_paired, read_single
from tpf_training.evaluation.dataset_scores import check_dataset, dataset_scores
from tpf_training.evaluation.evaluate import evaluate

DONE = "done"
METRICS = ("sr", "pr", "npr", "kept")  # of clips


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("config", help="a plan: a YAML file, or the name of one that ships")
    parser.add_argument("overrides", nargs="*", metavar="key=value", help="changes a key of it")


def run(args: argparse.Namespace) -> None:
    """Finished trainings and evaluations are not repeated; an interrupted training goes on where it was."""
    plan = load_config(AblationConfig, args.config, args.overrides)
    # What is wrong with the data or a variant must not show after hours of training.
    if plan.dataset:
        check_dataset(plan.dataset, plan.root, plan.sequences)
    sequences = [sequence for path in plan.clips for sequence in (read_single if path.is_file() else read_paired)(path)]
    for name, variant in plan.variants.items():
        if variant.mad:
            change_config(plan.distill, variant.distill, f"variant {name!r}, distill")
        change_config(plan.finetune, variant.finetune, f"variant {name!r}, finetune")
    plan.folder.mkdir(parents=True, exist_ok=True)
    rows = {
        name: [_result(plan, name, variant, seed, sequences) for seed in plan.seeds]
        for name, variant in plan.variants.items()
    }
    (plan.folder / "table.json").write_text(json.dumps(rows, indent=1))
    text = table(rows)
    (plan.folder / "table.md").write_text(text)
    print(text)


def table(rows: dict[str, list[dict[str, float]]]) -> str:
    """Markdown: a line a variant, each metric as mean and standard deviation over the seeds, in percent."""
    metrics = list(next(iter(rows.values()))[0])
    lines = [f"| variant | {' | '.join(name.upper() for name in metrics)} | seeds |", "|---" * (len(metrics) + 2) + "|"]
    for name, results in rows.items():
        cells = [_spread([100 * result[metric] for result in results]) for metric in metrics]
        lines.append(f"| {name} | {' | '.join(cells)} | {len(results)} |")
    return "\n".join(lines) + "\n"


def _spread(values: list[float]) -> str:
    return f"{mean(values):.1f} ± {stdev(values):.1f}" if len(values) > 1 else f"{values[0]:.1f}"


def _result(
    plan: AblationConfig, name: str, variant: VariantConfig, seed: int, sequences: list[VideoSequence]
) -> dict[str, float]:
    """The scores on the data set, or the mean of each metric over all targets of the clips."""
    weights = _train(plan, name, variant, seed)
    template = "ndtu" if variant.ndtu else "fixed"
    if plan.dataset:
        out = weights.parent / f"results_{template}_{plan.dataset}_{Path(plan.sequences or 'default').stem}"
        return dataset_scores(weights, plan.dataset, plan.root, plan.sequences, variant.ndtu, out)
    path = weights.parent / f"scores_{template}_{plan.frames or 'all'}.json"
    scores = json.loads(path.read_text()) if path.exists() else {}
    if set(scores) != {sequence.name for sequence in sequences}:  # none yet, or of other clips
        scores = evaluate(weights, sequences, variant.ndtu, plan.frames)
        path.write_text(json.dumps(scores, indent=1))
    return {metric: mean(target[metric] for target in scores.values()) for metric in METRICS}


def _train(plan: AblationConfig, name: str, variant: VariantConfig, seed: int) -> Path:
    """The weights of a variant; variants that are trained alike share a training."""
    overrides = [*variant.finetune, f"run.seed={seed}"]
    if variant.mad:
        fusion = _phase(plan, "distill", plan.distill, [*variant.distill, f"run.seed={seed}"], name)
        overrides.append(f"start.fusion={fusion / 'fusion.safetensors'}")
    return _phase(plan, "finetune", plan.finetune, overrides, name) / "weights.safetensors"


def _phase(plan: AblationConfig, command: str, base, overrides: list[str], name: str) -> Path:
    """Run `tpf-train command` in a process of its own, unless it is done; the run's folder."""
    settings = OmegaConf.structured(change_config(base, overrides, f"variant {name!r}, {command}"))
    digest = hashlib.sha1(OmegaConf.to_yaml(settings).encode()).hexdigest()[:10]
    folder = plan.folder / f"{command}_{digest}"
    if (folder / DONE).exists():
        return folder
    file = plan.folder / f"{folder.name}.yaml"
    OmegaConf.save(OmegaConf.merge(settings, {"run": {"folder": str(folder)}}), file)
    resume = ["--resume"] if (folder / "config.yaml").exists() else []
    print(f"{name}: {command} in {folder}", flush=True)
    result = subprocess.run([sys.executable, "-m", "tpf_training.cli", command, str(file), *resume])
    if result.returncode:
        raise ConfigError(f"variant {name!r}: `tpf-train {command} {file}` failed with exit status {result.returncode}")
    (folder / DONE).touch()
    return folder
