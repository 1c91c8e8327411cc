"""MAD on a tracking benchmark's frames: which are pairs, their true boxes, and their experts' images."""

import json

import cv2
import numpy as np
import pytest
import torch
from safetensors import safe_open

from tpf_training.commands.distill import distill
from tpf_training.config import ConfigError, load_config
from tpf_training.config.distill import DistillConfig
from tpf_training.datasets.expert_pairs import read_expert_pairs
from tpf_training.datasets.record import DatasetError
from tpf_training.mad.run_ahead import run_ahead
from tpf_training.mad.sample import MADSource
from tpf_training.mad.sequence_pairs import sequence_pairs
from tpf_training.sampling.config import SamplingConfig

SIZE, COUNT = (160, 120), 12
WIDE, TALL = 20, 32


def box(index):
    return 30 + 5 * index, 40, WIDE, TALL


def write_frames(folder, letter, dim, target):
    """Noise darker than `dim`, another in each sequence, in which the target of every frame is `target` bright."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(list(folder.parent.name.encode()))
    noise = rng.integers(dim // 2, dim, SIZE[::-1], dtype=np.uint8)
    for index in range(COUNT):
        x, y, w, h = box(index)
        image = noise.copy()
        image[y : y + h, x : x + w] = target
        cv2.imwrite(str(folder / f"{letter}{index}.jpg"), image)


def write_lasher(folder, absent=()):
    """The target shows in the visible images only, so nothing but the box file says where it is."""
    write_frames(folder / "visible", "v", 60, 250)
    write_frames(folder / "infrared", "i", 60, 30)
    lines = ["0,0,0,0" if i in absent else ",".join(map(str, box(i))) for i in range(COUNT)]
    (folder / "init.txt").write_text("\n".join(lines) + "\n")


@pytest.fixture
def root(tmp_path):
    write_lasher(tmp_path / "LasHeR/trainingset/run")
    write_lasher(tmp_path / "LasHeR/trainingset/walk", absent=(5, 10, 11))
    return tmp_path / "LasHeR"


def write_fused(folder, pairs):
    """What an expert that takes the visible image as it is leaves behind."""
    for pair in pairs:
        (folder / pair.name).parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(folder / f"{pair.name}.png"), cv2.imread(str(pair.visible), cv2.IMREAD_GRAYSCALE))


def test_of_every_few_frames_the_first_that_shows_the_target_is_a_pair(root):
    pairs = sequence_pairs("lasher", root, "trainingset", every=5)
    shown = [("run", 0), ("run", 5), ("run", 10), ("walk", 0), ("walk", 6)]
    assert [pair.name for pair in pairs] == [f"{name}/v{index}" for name, index in shown]
    for pair, (name, index) in zip(pairs, shown):
        assert pair.thermal == root / f"trainingset/{name}/infrared/i{index}.jpg" and pair.target == box(index)
    pairs[1].visible.write_bytes(b"broken")  # is told when it is drawn, not before
    assert len(sequence_pairs("lasher", root, "trainingset", every=5)) == 5
    with pytest.raises(DatasetError, match="run/visible/v5.jpg: missing or damaged"):
        pairs[1].read()


def test_the_target_is_the_true_box_in_sequences_all_alike(root, tmp_path):
    pairs = sequence_pairs("lasher", root, "trainingset", every=2)
    write_fused(tmp_path / "fused", pairs)
    upright = SamplingConfig(still_turn=0, still_stretch=0)
    source = MADSource(read_expert_pairs(pairs, {"visible": tmp_path / "fused"}), upright)
    assert {name: len(members) for name, members in source.sets.items()} == {"run": 6, "walk": 5}
    rows, columns = np.mgrid[0:256, 0:256] + 0.5
    for seed in range(20):
        sample = source.sample(np.random.default_rng(seed))
        x, y, w, h = (256 * value for value in sample.box)
        inside = (columns >= x) & (columns < x + w) & (rows >= y) & (rows < y + h)
        bright = sample.search.experts[0] > sample.search.experts[0].max() / 2
        assert (inside & bright).sum() > 0.93 * (inside | bright).sum()


def test_a_missing_fused_image_is_named(root, tmp_path):
    pairs = sequence_pairs("lasher", root, "trainingset", every=5)
    write_fused(tmp_path / "fused", pairs)
    (tmp_path / "fused/walk/v6.png").unlink()
    with pytest.raises(DatasetError, match="fused/walk/v6.png: expert 'mine' has no image of pair 'walk/v6'"):
        read_expert_pairs(pairs, {"mine": tmp_path / "fused"})


class Darker(torch.nn.Module):
    def forward(self, visible, thermal):
        return torch.minimum(visible, thermal)


@pytest.fixture
def plan(root, tmp_path):
    torch.jit.script(Darker()).save(tmp_path / "darker.pt")
    write_fused(tmp_path / "fused", sequence_pairs("lasher", root, "trainingset", every=5))
    dark = f"{{name: dark, kind: torchscript, path: '{tmp_path}/darker.pt'}}"
    bright = f"{{name: bright, kind: folder, path: '{tmp_path}/fused'}}"

    def make(*overrides):
        run = ["run.epochs=1", "run.samples_per_epoch=4", "run.batch=2", "run.workers=0", "run.accelerator=cpu"]
        places = [f"pairs.root={root}", f"pairs.cache={tmp_path / 'cache'}", f"run.folder={tmp_path / 'run'}"]
        what = ["pairs.source=lasher", "pairs.split=trainingset", "pairs.every=5", f"experts=[{dark}, {bright}]"]
        what += ["auxiliary=tiny", "run.precision=32-true"]
        return load_config(DistillConfig, "small_distill", [*run, *places, *what, *overrides])

    return make


def test_the_whole_phase_with_an_expert_that_is_run_and_a_folder(plan, tmp_path):
    distill(plan())
    with safe_open(tmp_path / "run/fusion.safetensors", framework="pt") as file:
        provenance = json.loads(file.metadata()["provenance"])
    assert provenance["experts"] == ["dark", "bright"] and provenance["step"] == 2
    assert provenance["data"]["lasher"]["share"] == 1 and provenance["settings"]["pairs"]["every"] == 5
    (folder,) = (tmp_path / "cache/experts").iterdir()
    fused = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.png"))
    assert fused == ["run/v0.png", "run/v10.png", "run/v5.png", "walk/v0.png", "walk/v6.png"]
    run, walk = (cv2.imread(str(folder / name / "v0.png"), cv2.IMREAD_GRAYSCALE) for name in ("run", "walk"))
    assert np.abs(run.astype(int) - walk).mean() > 5  # one name in two sequences is two images


@pytest.mark.parametrize(
    "override, told",
    [
        ("pairs.source=lashr", "pairs.source has an unknown name 'lashr'; did you mean 'lasher'"),
        ("pairs.every=0", "pairs.every is 0; accepted: a whole number of 1 or more"),
        ("pairs.source=rgbt_pairs", "pairs.split and pairs.every have no effect on 'rgbt_pairs'; .*: lasher, "),
        ("pairs.sampling.object_box=1", "pairs.sampling.object_box has no effect"),
        ("experts=[]", "experts is empty; accepted with pairs.source 'lasher': one expert or more"),
    ],
)
def test_a_setting_that_does_not_fit_the_source_is_refused(plan, override, told):
    with pytest.raises(ConfigError, match=told):
        plan(override)


class Thermal:
    name, fingerprint = "thermal", "0123456789abcdef"

    def __init__(self):
        self.fused = []

    def fuse(self, visible, thermal, name):
        self.fused.append(name)
        return thermal


def test_targets_of_one_clip_share_their_fused_images(tmp_path):
    for part in ("visible", "thermal"):
        write_frames(tmp_path / "set/clip" / part, part[0], 60, 250)
    for target, x, first in (("A", 0, 0), ("B", 1, 4)):
        rows = "".join(f"{i},{x},40,20,32,1\n" for i in range(first, COUNT))
        (tmp_path / f"set/clip/{target}.csv").write_text("frame,x,y,w,h,visible\n" + rows)
    pairs = sequence_pairs("folder", tmp_path / "set", None, every=6)
    shown = [("v0", 0), ("v6", 0), ("v4", 1), ("v6", 1)]
    assert [(pair.name, pair.target[0]) for pair in pairs] == [(f"clip/{name}", x) for name, x in shown]
    expert = Thermal()
    folder = run_ahead(expert, pairs, tmp_path / "cache")
    assert expert.fused == ["clip/v0", "clip/v6", "clip/v4"]
    assert read_expert_pairs(pairs, {"thermal": folder})[3].read().target == (1, 40, 20, 32)

    write_frames(tmp_path / "set/night/thermal", "t", 60, 250)
    (tmp_path / "set/night/A.csv").write_text("frame,x,y,w,h,visible\n0,0,40,20,32,1\n")
    with pytest.raises(DatasetError, match="set/night: no visible images, a pair needs both"):
        sequence_pairs("folder", tmp_path / "set", None, every=6)
