"""Fine-tuning: it learns, it goes on where it stopped, and its weights say where they come from."""

import argparse
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open

from tpf_model.weights import load_network
from tpf_training.cli import main
from tpf_training.commands.arguments import add_arguments, overrides
from tpf_training.commands.finetune import finetune, make_decoupling
from tpf_training.config import ConfigError, load_config
from tpf_training.config.finetune import FinetuneConfig
from tpf_training.engine.fit import prepare_run
from tpf_training.engine.optimise import make_optimiser
from tpf_training.phases.finetune import FinetuneModule
from tpf_training.sampling import build_mixture, collate
from tpf_training.start import start_network, weights_file
from tpf_training.teacher import Teacher

# On one thread, in float32: sums must come in the same order for weights to be equal to the bit.
PLAN = """
base: base_finetune
model: tiny
fusion: addition
data:
  sources: {lasher: {weight: 0}, rgbt_video: {weight: 1.0}}
drf: {enabled: false}
optimiser: {encoder: 1.0e-4, head: 1.0e-3, warmup: 0.5, decay: 0.2}
run: {epochs: 3, samples_per_epoch: 4, batch: 2, average: 0.5, precision: 32-true, accelerator: cpu,
  workers: 0, log_every: 1}
"""


@pytest.fixture(autouse=True)
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def plan(data_root, tmp_path):
    file = tmp_path / "plan.yaml"
    file.write_text(PLAN)

    def make(*overrides):
        places = [f"data.root={data_root}", f"data.cache={tmp_path / 'cache'}", f"run.folder={tmp_path / 'run'}"]
        return load_config(FinetuneConfig, file, [*places, *overrides])

    return make


def weights_of(folder):
    return load_network(weights=folder / "weights.safetensors")[0].state_dict()


def test_a_run_that_was_killed_goes_on_to_the_same_weights(plan, data_root, tmp_path):
    finetune(plan(f"run.folder={tmp_path / 'through'}"))
    folder = tmp_path / "killed"
    command = [sys.executable, "-m", "tpf_training.cli", "finetune", str(tmp_path / "plan.yaml")]
    command += [f"data.root={data_root}", f"data.cache={tmp_path / 'cache'}", f"run.folder={folder}"]
    # It is killed once its first checkpoint is there, wherever it then is in the two epochs that are left.
    silent = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    process = subprocess.Popen(command, **silent, env={**os.environ, "OMP_NUM_THREADS": "1"})
    deadline = time.monotonic() + 120
    while not (folder / "checkpoints/last.ckpt").exists() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL  # it had not come to its end
    assert (folder / "checkpoints/last.ckpt").exists()

    with pytest.raises(FileExistsError, match="--resume"):
        finetune(plan(f"run.folder={folder}"))
    with pytest.raises(ConfigError, match="optimiser.head"):
        finetune(plan(f"run.folder={folder}", "optimiser.head=0.5"), resume=True)
    finetune(plan(f"run.folder={folder}"), resume=True)
    torch.testing.assert_close(weights_of(folder), weights_of(tmp_path / "through"), rtol=0, atol=0)


def test_a_job_that_slurm_has_requeued_goes_on_with_its_run(plan, tmp_path, monkeypatch):
    finetune(plan("run.epochs=1"))
    monkeypatch.setenv("SLURM_RESTART_COUNT", "0")
    with pytest.raises(FileExistsError, match="--resume"):
        finetune(plan("run.epochs=1"))
    monkeypatch.setenv("SLURM_RESTART_COUNT", "1")
    moved = plan("run.epochs=1", "data.sources.rgbt_video.root=moved")
    assert prepare_run(moved, resume=False) == tmp_path / "run/checkpoints/last.ckpt"
    assert prepare_run(plan(f"run.folder={tmp_path / 'not_begun'}"), resume=False) is None
    with pytest.raises(ConfigError, match="run.epochs"):
        prepare_run(plan("run.epochs=2"), resume=False)

    # In the first epoch there is only a checkpoint of Lightning's own, in the middle of it.
    through = weights_of(tmp_path / "run")
    (tmp_path / "run/checkpoints/last.ckpt").replace(tmp_path / "run/hpc_ckpt_1.ckpt")
    for name, value in {"NTASKS": "1", "JOB_NAME": "train", "PROCID": "0", "LOCALID": "0", "NODEID": "0"}.items():
        monkeypatch.setenv(f"SLURM_{name}", value)
    (tmp_path / "run/weights.safetensors").unlink()
    finetune(plan("run.epochs=1"))
    torch.testing.assert_close(weights_of(tmp_path / "run"), through, rtol=0, atol=0)


def test_weights_say_where_they_come_from(plan, data_root, tmp_path):
    finetune(plan("run.epochs=1"))
    first = tmp_path / "run/weights.safetensors"
    provenance, text = read_provenance(first)
    assert provenance["command"] == "tpf-train finetune" and provenance["step"] == 2
    assert provenance["settings"]["run"]["batch"] == 2 and provenance["settings"]["fusion"] == "addition"
    licence = "M3SVD clips, MIT; boxes drawn for this project"
    assert provenance["data"] == {"rgbt_video": {"share": 1.0, "licence": licence}}
    assert provenance["start"] == {"weights": "random"}
    assert str(tmp_path) not in text and str(data_root) not in text

    terms = "data.sources.rgbt_video.licence=mine alone"
    finetune(plan("run.epochs=1", f"run.folder={tmp_path / 'next'}", f"start.network={first}", terms))
    later, _ = read_provenance(tmp_path / "next/weights.safetensors")
    assert later["data"]["rgbt_video"]["licence"] == "mine alone"
    assert later["start"]["weights"] == {"file": first.name, "provenance": provenance}  # the whole line of descent


def test_weights_say_on_how_many_devices_a_batch_each_was_a_step(plan, data_root, tmp_path):
    command = [sys.executable, "-m", "tpf_training.cli", "finetune", str(tmp_path / "plan.yaml"), "--devices", "2"]
    command += [f"data.root={data_root}", f"data.cache={tmp_path / 'cache'}", f"run.folder={tmp_path / 'run'}"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    subprocess.run([*command, "run.epochs=1"], check=True, capture_output=True, env=environment)
    weights, out = tmp_path / "run/weights.safetensors", tmp_path / "out.safetensors"
    assert read_provenance(weights)[0]["step"] == 1
    main(["export", str(weights), "--out", str(out)])
    assert "`tpf-train finetune` of tiny, 1 steps of 4 samples, seed 0" in out.with_suffix(".md").read_text()


def read_provenance(path: Path):
    with safe_open(path, framework="pt") as file:
        text = file.metadata()["provenance"]
    return json.loads(text), text


def test_the_curves_and_the_sample_images_are_there(plan, tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    finetune(plan("run.epochs=1"))
    events = EventAccumulator(str(tmp_path / "run/tensorboard"))
    events.Reload()
    assert {"loss", "iou", "samples_per_second", "data_share"} <= set(events.Tags()["scalars"])
    first, second = (event.value for event in events.Scalars("data_share"))
    assert first == 0 < second < 1  # what comes before the first step is start-up
    (picture,) = events.Images("samples")
    assert (picture.width, picture.height) == (4 * 256, 2 * 256)  # template, visible, thermal, fused; two samples


@pytest.mark.parametrize("rate", [0.0, 1e-3])
def test_the_fusion_adapter_learns_unless_its_rate_is_0(plan, rate):
    module = make_module(plan("fusion=pfa", f"optimiser.fusion={rate}"))
    fused = module._fuse(*([torch.rand(1, 3, 64, 64)] * 3 for _ in range(2)))
    assert all(image.requires_grad == bool(rate) for image in fused)
    if rate:
        sum(image.square().sum() for image in fused).backward()
        assert module.learner.fusion.decoder.weight.grad.abs().max() > 0


def make_module(config):
    network, _ = start_network(config)
    teacher = Teacher(weights_file(config.teacher.network), network) if config.teacher else None
    module = FinetuneModule(config, network, make_decoupling(config, network), teacher).train()
    module.log_dict = lambda *args, **kwargs: None  # belongs to a trainer
    return module


@pytest.mark.parametrize("phase", ["task", "drf"])
def test_one_sample_is_learnt_by_heart(plan, data_root, phase):
    drf = ["drf.enabled=true", "drf.decoder_width=128", "drf.decoder_depth=1"] if phase == "drf" else []
    # From a network that knows something: a random one needs hundreds of steps.
    rates = ["optimiser.fusion=0", "optimiser.warmup=0", "optimiser.decay=0.6"]
    config = plan("fusion=pfa", "start.larger=small", *rates, *drf)
    torch.manual_seed(0)
    module = make_module(config)
    mixture = build_mixture(data_root, config.data.sources)
    batch = collate([mixture.sample(np.random.default_rng(1), "rgbt_video")])
    auxiliary = [(module.decoupling, 3e-3)] if module.decoupling else []
    parts = [(module.learner.encoder, 2e-4), (module.learner.head, 2e-3), *auxiliary]
    steps = 60
    optimisation = make_optimiser(parts, config.optimiser, steps)
    optimiser, schedule = optimisation["optimizer"], optimisation["lr_scheduler"]["scheduler"]
    losses = []
    for _ in range(steps):
        loss = module.training_step(batch, 1)
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(module.parameters(), config.run.gradient_clip)
        optimiser.step()
        schedule.step()
        losses.append(loss.item())
    assert losses[-1] < (0.02 if phase == "task" else 0.04) * losses[0]


def test_each_loss_counts_by_its_weight(plan, data_root):
    """DRF's and the teacher's, beside the task's."""
    drf = ["drf.enabled=true", "drf.decoder_width=32", "drf.decoder_depth=1"]
    config = plan("fusion=pfa", "start.larger=small", *drf)
    batch = collate([build_mixture(data_root, config.data.sources).sample(np.random.default_rng(1))])

    def losses(weight, teacher_weight):
        weights = f"drf.weight={weight}", f"teacher.weight={teacher_weight}"
        config = plan("fusion=pfa", "start.larger=small", *weights, *drf)
        module = make_module(config)
        seen = {}
        module.log_dict = lambda values, **_: seen.update(values)
        module.training_step(batch, 1)
        decoupling = sum(value for name, value in seen.items() if name.startswith(("repulsion", "reconstruction")))
        return seen["loss"], decoupling, seen["distillation"]

    task, decoupling, distillation = losses(0, 0)
    assert decoupling > 0 and distillation > 0
    torch.testing.assert_close(losses(0.5, 0)[0], task + 0.5 * decoupling)
    torch.testing.assert_close(losses(0, 3)[0], task + 3 * distillation)


def test_auxiliary_encoders_start_as_the_tracker_s(plan):
    module = make_module(plan("drf.enabled=true", "drf.decoder_width=32", "drf.decoder_depth=1"))
    for branch in module.decoupling.branches.values():
        torch.testing.assert_close(branch.encoder.state_dict(), module.learner.encoder.state_dict(), rtol=0, atol=0)


def test_a_head_that_does_not_learn_keeps_its_statistics(plan, tmp_path):
    finetune(plan("optimiser.head=0", "run.epochs=1", "start.network=tiny"))
    trained, start = weights_of(tmp_path / "run"), load_network("tiny")[0].state_dict()
    head = [name for name in start if name.startswith("head.")]
    assert any(name.endswith("running_var") for name in head)
    torch.testing.assert_close(*({name: state[name] for name in head} for state in (trained, start)), rtol=0, atol=0)
    assert any((trained[name] != start[name]).any() for name in start if name.startswith("encoder."))


def test_a_smoke_run_takes_one_device_or_as_many_as_are_given(plan, data_root, tmp_path):
    many = tmp_path / "many.yaml"
    many.write_text("base: plan.yaml\nrun: {devices: 3}\n")
    places = [f"data.root={data_root}", f"data.cache={tmp_path / 'cache'}", f"run.folder={tmp_path / 'run'}"]
    main(["finetune", str(many), *places, "--smoke"])
    assert read_provenance(tmp_path / "run/weights.safetensors")[0]["step"] == 4

    parser = argparse.ArgumentParser()
    add_arguments(parser)
    given = parser.parse_args([str(many), "--smoke", "--devices", "3", "--nodes", "2"])
    run = plan(*overrides(given)).run
    assert (run.devices, run.nodes, run.epochs) == ("3", 2, 2)
    assert run.samples_per_epoch == 2 * run.batch * 3 * 2  # two steps an epoch of all


def test_nothing_to_learn_is_refused(plan):
    module = make_module(plan())
    with pytest.raises(ValueError, match="nothing learns"):
        make_optimiser([(module.learner.fusion, 0.0)], module.config.optimiser, 10)
