"""Distillation: the adapter comes to look like the experts' images, and fine-tuning starts from it."""

import json
import shutil

import cv2
import numpy as np
import pytest
import torch
from safetensors import safe_open

from tpf_model.config import load_variant
from tpf_model.fusion import PixelFusionAdapter
from tpf_model.network import TPFNetwork
from tpf_model.weights import WeightsError
from tpf_training.commands.distill import distill
from tpf_training.config import ConfigError, load_config
from tpf_training.config.distill import DistillConfig
from tpf_training.datasets.expert_pairs import own_experts, read_expert_pairs
from tpf_training.datasets.record import DatasetError
from tpf_training.datasets.rgbt_pairs import find_pairs
from tpf_training.engine.optimise import make_optimiser
from tpf_training.fusion_weights import load_fusion
from tpf_training.mad.sample import MADSource, collate_mad
from tpf_training.mad.weighting import ExpertWeighting
from tpf_training.phases.distill import DistillModule


@pytest.fixture(scope="module")
def pairs(tmp_path_factory):
    """One pair with two experts, which disagree."""
    root = tmp_path_factory.mktemp("pairs")
    scene = np.random.default_rng(0).integers(30, 120, (15, 20), dtype=np.uint8)
    visible = cv2.resize(scene, (320, 240), interpolation=cv2.INTER_CUBIC)
    thermal = visible // 3
    cv2.ellipse(thermal, (160, 120), (24, 48), 0, 0, 360, 250, -1)
    images = {"visible": visible, "thermal": thermal}
    images |= {"experts/bright": np.maximum(visible, thermal), "experts/dark": visible // 2}
    for folder, image in images.items():
        (root / "set" / folder).mkdir(parents=True)
        cv2.imwrite(str(root / "set" / folder / "one.jpg"), image)
    return root


@pytest.fixture
def plan(pairs, tmp_path):
    def make(*overrides):
        run = ["run.epochs=2", "run.samples_per_epoch=4", "run.batch=2", "run.workers=0"]
        run += ["run.accelerator=cpu", "run.average=0.5"]
        places = [f"pairs.root={pairs}", f"run.folder={tmp_path / 'run'}"]
        return load_config(DistillConfig, "small_distill", [*places, *run, "run.precision=32-true", *overrides])

    return make


def test_the_whole_phase(plan, tmp_path):
    distill(plan("weighting=adaptive"))
    path = tmp_path / "run/fusion.safetensors"
    with safe_open(path, framework="pt") as file:
        provenance = json.loads(file.metadata()["provenance"])
    assert provenance["experts"] == ["bright", "dark"] and provenance["step"] == 4
    assert provenance["start"]["auxiliary tracker"]["file"] == "small.safetensors"
    network = TPFNetwork(load_variant("tiny"))  # its adapter is of the same kind
    load_fusion(network, path)
    assert network.fusion.decoder.weight.abs().max() > 0
    with pytest.raises(ValueError, match="base"):
        load_fusion(TPFNetwork(load_variant("base")), path)


def test_an_interrupted_run_goes_on_to_the_same_weights(plan, tmp_path):
    class Interrupted(Exception):
        pass

    distill(plan("weighting=equal", f"run.folder={tmp_path / 'through'}"))
    config = plan("weighting=equal")
    original = DistillModule.training_step
    steps = []

    def interrupted(self, batch, index):
        steps.append(index)
        if len(steps) == 4:  # in the second epoch, behind the checkpoint
            raise Interrupted
        return original(self, batch, index)

    DistillModule.training_step = interrupted
    try:
        with pytest.raises(Interrupted):
            distill(config)
    finally:
        DistillModule.training_step = original
    distill(config, resume=True)
    through, resumed = (tmp_path / run / "fusion.safetensors" for run in ("through", "run"))
    assert through.read_bytes() == resumed.read_bytes()


def test_a_run_goes_on_where_its_data_and_experts_have_moved(plan, pairs, tmp_path):
    def named(root, name="mine"):
        expert = f"experts=[{{name: {name}, kind: folder, path: '{root}/{{set}}/experts/dark'}}]"
        return plan("weighting=equal", "run.epochs=1", f"pairs.root={root}", expert)

    distill(named(pairs))
    moved = shutil.copytree(pairs, tmp_path / "moved")
    with pytest.raises(ConfigError, match="other values of experts.0.name;"):
        distill(named(moved, "yours"), resume=True)
    distill(named(moved), resume=True)


def test_experts_that_are_named_are_recorded_without_their_folders(plan, pairs, tmp_path):
    expert = f"experts=[{{name: mine, kind: folder, path: '{pairs}/{{set}}/experts/dark'}}]"
    distill(plan("weighting=mine", "run.epochs=1", "run.samples_per_epoch=2", expert))
    with safe_open(tmp_path / "run/fusion.safetensors", framework="pt") as file:
        text = file.metadata()["provenance"]
    recorded = {"name": "mine", "kind": "folder", "path": "dark", "weights": None}
    assert json.loads(text)["settings"]["experts"] == [recorded] and str(pairs) not in text


def test_what_cannot_run_is_told(plan, tmp_path):
    with pytest.raises(ConfigError, match="samples_per_epoch is 4, too few: 3 devices take 6"):
        distill(plan("weighting=equal", "run.devices=3"))
    with pytest.raises(ConfigError, match="run.precision"):
        distill(plan("weighting=equal", "run.precision=12-mixed"))
    with pytest.raises(ConfigError, match="weighting has an unknown name 'dakr'; did you mean 'dark'"):
        distill(plan("weighting=dakr"))
    with pytest.raises(WeightsError, match="no_such.safetensors"):
        distill(plan("weighting=equal", "start=no_such.safetensors"))
    assert not (tmp_path / "run/config.yaml").exists()  # so the same folder can be used once it is put right


def test_a_run_goes_on_with_as_many_devices_as_before(plan, tmp_path):
    config = plan("weighting=equal", "run.epochs=1")
    distill(config)
    path = tmp_path / "run/checkpoints/last.ckpt"
    checkpoint = torch.load(path, weights_only=True)
    assert checkpoint["processes"] == 1
    torch.save(checkpoint | {"processes": 2}, path)
    with pytest.raises(ConfigError, match="started on 2 devices, now there are 1"):
        distill(config, resume=True)


def test_a_damaged_image_is_named_by_a_loading_process(plan, pairs, tmp_path):
    root = shutil.copytree(pairs, tmp_path / "pairs")
    damaged = root / "set/thermal/one.jpg"
    damaged.write_bytes(damaged.read_bytes()[:200])
    with pytest.raises(DatasetError) as caught:
        distill(plan("weighting=equal", f"pairs.root={root}", "run.workers=1"))
    assert str(caught.value).startswith(str(damaged)) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "override, told",
    [
        ("optimiser.encoder=1e-3", "optimiser.encoder has no effect in this phase; accepted: fusion, weight_decay"),
        ("pairs.sampling.max_gap=9", "pairs.sampling.max_gap has no effect"),
        ("pairs.augmentation.silent=0.3", "pairs.augmentation.silent has no effect"),
        ("pairs.sampling.search.size=128", "pairs.sampling.search.size is 128; accepted: that of model 'small', 256"),
        ("norm=l3", "norm has an unknown name 'l3'"),
        ("temperature=0", "temperature is 0.0, must be above 0"),
        ("experts_device=cuda:1", "experts_device has an unknown name 'cuda:1'; did you mean 'cuda'"),
    ],
)
def test_a_setting_without_effect_is_refused(plan, override, told):
    with pytest.raises(ConfigError, match=told):
        plan(override)


def test_the_sampling_and_the_augmentation_are_those_of_the_configuration(plan, monkeypatch):
    made = []
    source = MADSource.__init__
    monkeypatch.setattr(MADSource, "__init__", lambda self, *args: made.append(args[1:]) or source(self, *args))
    settings = "pairs.sampling.object_box=1", "pairs.augmentation.grey=1", "run.epochs=1", "run.samples_per_epoch=2"
    distill(plan("weighting=equal", *settings))
    ((sampling, augmentation),) = made
    assert sampling.object_box == 1 and augmentation.grey == 1


def test_one_sample_is_learnt_by_heart_from_a_single_expert(plan, pairs):
    torch.manual_seed(0)
    config = plan("weighting=bright", "optimiser.warmup=0", "optimiser.decay=0.8")
    source = MADSource(read_expert_pairs(find_pairs(pairs), own_experts(pairs)))
    batch = collate_mad([source.sample(np.random.default_rng(3))])
    module = DistillModule(config, PixelFusionAdapter(4), ExpertWeighting(source.experts, "bright"))
    module.log_dict = lambda *args, **kwargs: None  # belongs to a trainer
    steps = 120
    optimisation = make_optimiser([(module.learner, 1e-2)], config.optimiser, steps)
    optimiser, schedule = optimisation["optimizer"], optimisation["lr_scheduler"]["scheduler"]
    losses = []
    for _ in range(steps):
        loss = module.training_step(batch, 1)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
        losses.append(loss.item())
    assert losses[-1] < 0.12 * losses[0]  # two grey levels, as near as a token for 4 x 4 pixels comes
