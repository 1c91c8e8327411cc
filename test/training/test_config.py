"""Configurations: what is wrong in one is told with its key and the nearest right one."""

from pathlib import Path

import pytest

from tpf_training.augmentation.config import AugmentationConfig, DegradationConfig
from tpf_training.config import ConfigError, load_config, shipped_configs
from tpf_training.config.ablation import AblationConfig
from tpf_training.config.distill import DistillConfig
from tpf_training.config.finetune import FinetuneConfig
from tpf_training.config.optimiser import OptimiserConfig
from tpf_training.engine.fit import prepare_run
from tpf_training.sampling.config import SamplingConfig

CLASSES = {"distill": DistillConfig, "finetune": FinetuneConfig, "ablation": AblationConfig}
PLACES = {
    "distill": ["run.folder=RUN", "pairs.root=PAIRS"],
    "finetune": ["run.folder=RUN", "data.root=DATA"],
    "ablation": ["folder=RUN", "clips=[CLIPS]", "finetune.data.root=DATA", "distill.pairs.root=PAIRS"],
}


@pytest.mark.parametrize("name", shipped_configs())
def test_every_configuration_that_ships_can_be_used(name):
    kind = name.split("_")[-1]
    config = load_config(CLASSES[kind], name, PLACES[kind])
    assert isinstance(config, CLASSES[kind])


def test_the_published_settings():
    config = load_config(FinetuneConfig, "base_finetune", PLACES["finetune"])
    rates = config.optimiser
    assert (rates.fusion, rates.encoder, rates.head, rates.auxiliary) == (5e-6, 5e-6, 5e-5, 5e-5)
    assert rates.weight_decay == 1e-4
    assert (config.run.epochs, config.run.samples_per_epoch, config.drf.weight) == (30, 60_000, 1.0)
    sampling, augmentation = config.data.sampling, config.data.augmentation
    assert sampling.absent_target == sampling.same_template == sampling.dynamic.centre == sampling.dynamic.scale == 0
    assert augmentation == AugmentationConfig(
        visible_drift=0, thermal_drift=0, silent=0, misaligned=0, degradation=DegradationConfig(0, 0, 0)
    )
    for ours in ("small_finetune", "tiny_finetune"):
        data = load_config(FinetuneConfig, ours, PLACES["finetune"]).data
        assert (data.sampling, data.augmentation) == (SamplingConfig(), AugmentationConfig())
    assert load_config(DistillConfig, "base_distill", PLACES["distill"]).run.epochs == 35


@pytest.mark.parametrize(
    "override, message",
    [
        ("optimiser.hed=1", r"'hed'.*'head'"),
        ("fusoin=addition", r"'fusoin'.*'fusion'"),
        ("data.sources.rgbt_video.wieght=1", r"'wieght'.*'weight'"),
        ("run.epochs=many", r"many.*run.epochs"),
        ("run.epochs=0", r"run.epochs is 0, must be 1 or more"),
        ("optimiser.head=.nan", r"optimiser.head is nan, must be a finite number"),
        ("data.sources.rgbt_video.weight=.inf", r"sources.rgbt_video.weight is inf, must be a finite number"),
        ("fusion", r"'fusion' must be key=value"),
        ("model=bass", r"model.*'bass'.*'base'"),
        ("frozen_blocks=13", r"frozen_blocks is 13, model 'base' has 0 to 12"),
        ("data.sources.lashr.weight=1", r"'lashr'.*'lasher'"),
        ("drf.margin=[1", r"no YAML"),
        ("drf.weight=-1", r"drf.weight is -1.0, must be 0 or more"),
        ("drf.margin=1.5", r"drf.margin is 1.5, must be a cosine"),
        ("drf.decoder_width=70", r"drf.decoder_width is 70, must be a multiple of 32"),
        ("drf.visible=false drf.thermal=false", r"drf.visible and drf.thermal are both off"),
        ("drf.repulsion=false drf.reconstruction=false", r"drf.repulsion and drf.reconstruction are both off"),
    ],
)
def test_what_is_wrong_is_named(override, message):
    with pytest.raises(ConfigError, match=message):
        load_config(FinetuneConfig, "base_finetune", [*PLACES["finetune"], *override.split()])


def test_what_is_missing_is_named():
    with pytest.raises(ConfigError, match="data.root"):
        load_config(FinetuneConfig, "small_finetune", ["run.folder=RUN"])
    with pytest.raises(ConfigError, match="run.folder"):
        prepare_run(load_config(FinetuneConfig, "small_finetune", ["data.root=DATA"]), resume=False)
    with pytest.raises(ConfigError, match="no_such.*base_finetune"):
        load_config(FinetuneConfig, "no_such")


def test_a_file_changes_its_base_and_the_command_line_changes_the_file(tmp_path: Path):
    (tmp_path / "first.yaml").write_text("base: base_finetune\nrun: {folder: RUN, epochs: 7}\ndata: {root: DATA}\n")
    (tmp_path / "second.yaml").write_text("base: first.yaml\nrun: {batch: 3}\n")
    config = load_config(FinetuneConfig, tmp_path / "second.yaml", ["run.seed=5"])
    assert (config.run.epochs, config.run.batch, config.run.seed, config.optimiser.head) == (7, 3, 5, 5e-5)
    (tmp_path / "broken.yaml").write_text("run: {folder: [\n")
    with pytest.raises(ConfigError, match="broken.yaml"):
        load_config(FinetuneConfig, tmp_path / "broken.yaml")


def test_rates_rise_stay_and_fall_to_zero():
    config = OptimiserConfig(warmup=0.1, decay=0.4)
    factors = [config.factor(step, 100) for step in range(101)]
    assert factors[0] == pytest.approx(0.1) and factors[9:61] == [1.0] * 52
    assert factors[80] == pytest.approx(0.5) and factors[100] == 0
