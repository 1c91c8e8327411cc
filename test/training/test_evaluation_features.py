"""What a network and a training checkpoint's branches make of an image is drawn as it is, and named."""

import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from tpf_model.runtime import fused_to_image
from tpf_training.commands.finetune import finetune
from tpf_training.config import load_config
from tpf_training.config.finetune import FinetuneConfig
from tpf_training.evaluation.cli import main
from tpf_training.evaluation.clips import read_paired
from tpf_training.evaluation.feature_maps import feature_map
from tpf_training.evaluation.training_checkpoint import load_checkpoint
from tpf_training.evaluation.views import clip_views, make_crops

PLAN = """
base: base_finetune
model: tiny
fusion: addition
data:
  sources: {lasher: {weight: 0}, rgbt_video: {weight: 1.0}}
drf: {decoder_width: 32, decoder_depth: 1}
run: {epochs: 1, samples_per_epoch: 2, batch: 2, precision: 32-true, accelerator: cpu, workers: 0, log_every: 1}
"""


@pytest.fixture(scope="module")
def trained(data_root, tmp_path_factory):
    """The folder of a run with DRF."""
    folder = tmp_path_factory.mktemp("run")
    (folder / "plan.yaml").write_text(PLAN)
    places = [f"data.root={data_root}", f"data.cache={folder / 'cache'}", f"run.folder={folder / 'drf'}"]
    finetune(load_config(FinetuneConfig, folder / "plan.yaml", places))
    return folder / "drf"


@pytest.fixture
def walk(data_root):
    return data_root / "rgbt_video/walk"


def features(capsys, *arguments) -> tuple[int, str, str]:
    status = main(["features", *map(str, arguments)])
    return status, *capsys.readouterr()


def picture(file: Path) -> np.ndarray:
    return cv2.cvtColor(cv2.imread(str(file)), cv2.COLOR_BGR2RGB)


def test_models_stand_side_by_side_with_the_branches_of_a_checkpoint(trained, walk, tmp_path, capsys):
    checkpoint = trained / "checkpoints/last.ckpt"
    arguments = "--clip", walk, "--frames", "30,10", "--model", "tiny", "--checkpoint", f"drf={checkpoint}"
    status, shown, errors = features(capsys, *arguments, "--layers", "0,6", "--out", tmp_path / "out")
    assert (status, errors) == (0, "") and "sheet.png: 2 rows, 16 columns" in shown
    height, width = cv2.imread(str(tmp_path / "out/sheet.png")).shape[:2]
    assert width > 3 * height > 0
    folder = tmp_path / "out/walk_A_30"
    fusion = ["fused", "score", "fusion_branch_embedding", "fusion_branch_block_6"]
    branches = [f"{m}_branch_{layer}" for m in ("visible", "thermal") for layer in ("embedding", "block_6")]
    expected = {"visible", "thermal", *(f"tiny_{name}" for name in fusion)}
    expected |= {f"drf_{name}" for name in [*fusion, *branches, "visible_rebuilt", "thermal_rebuilt"]}
    assert {file.stem for file in folder.iterdir()} == expected
    assert {file.stem for file in (tmp_path / "out/walk_A_10").iterdir()} == expected

    network, decoupling = load_checkpoint(checkpoint)
    view = next(clip_views(read_paired(walk)[0], [30]))
    crops = make_crops(network, view)
    template, search = ((crop - network.mean) / network.std for crop in (crops.template, crops.search))
    with torch.inference_mode():
        task = network.encode(*(crop[2:] for crop in (crops.template, crops.template, crops.search)))
        for index, modality in enumerate(("visible", "thermal")):
            branch = decoupling.branches[modality]
            one = slice(index, index + 1)
            irrelevant = branch.encoder(template[one], template[one], search[one])
            rebuilt = branch.decoder(task + irrelevant) * network.std + network.mean
            np.testing.assert_array_equal(picture(folder / f"drf_{modality}_rebuilt.png"), fused_to_image(rebuilt[0]))
            embedded = branch.encoder.patch_embed(search[one])[0]
            wanted = feature_map(embedded, view.inside(network.config), "mean", 256)
            np.testing.assert_array_equal(picture(folder / f"drf_{modality}_branch_embedding.png"), wanted)
    # The true box is drawn around the bright rectangle: 24 x 48 px in a crop of four target sizes.
    box = np.argwhere((picture(folder / "visible.png") == (0, 255, 0)).all(axis=2))
    scale = 256 / np.ceil(4 * np.sqrt(24 * 48))
    np.testing.assert_allclose(np.ptp(box, axis=0), [48 * scale, 24 * scale], atol=2)


def test_the_weights_are_those_of_the_last_step(trained):
    network, decoupling = load_checkpoint(trained / "checkpoints/last.ckpt")
    stored = torch.load(trained / "checkpoints/last.ckpt", weights_only=True)["state_dict"]
    for part, prefix in ((network, "learner."), (decoupling, "decoupling.")):
        assert not part.training
        for name, tensor in part.state_dict().items():
            torch.testing.assert_close(tensor, stored[prefix + name])


def test_a_run_without_branches_shows_what_it_has_and_says_so(trained, walk, tmp_path, capsys):
    run = shutil.copytree(trained, tmp_path / "plain")
    config = run / "config.yaml"
    config.write_text(config.read_text().replace("drf:\n  enabled: true", "drf:\n  enabled: false"))
    checkpoint = run / "checkpoints/last.ckpt"
    arguments = "--clip", walk, "--frames", 10, "--checkpoint", f"plain={checkpoint}", "--out", tmp_path / "out"
    status, shown, errors = features(capsys, *arguments, "--format", "svg")
    assert status == 0 and "sheet.svg: 1 rows, 7 columns" in shown
    assert f"plain: {checkpoint} has no auxiliary branches (its run had drf.enabled=false)" in errors
    assert (tmp_path / "out/walk_A_10/plain_fusion_branch_block_6.png").exists()


def test_stills_are_shown_and_a_damaged_one_is_named(data_root, tmp_path, capsys):
    root = shutil.copytree(data_root / "rgbt_pairs", tmp_path / "pairs")
    arguments = "--pairs", root, "--model", "tiny", "--map", "pca", "--layers", 6, "--out", tmp_path / "out", "--names"
    status, shown, errors = features(capsys, *arguments, "set/one,set/0117_1620_0008")
    assert status == 1 and "1 rows, 4 columns" in shown
    assert f"not shown: {root}/set/visible/0117_1620_0008.jpg: missing or damaged image" in errors
    assert {file.name for file in (tmp_path / "out").iterdir()} == {"sheet.png", "set_one"}
    assert not (tmp_path / "out/set_one/tiny_score.png").exists()  # nothing is searched for in a still
    status, _, errors = features(capsys, *arguments, "set/once")
    assert status == 2 and "has no pair 'set/once'; did you mean 'set/one'?" in errors


def test_maps_show_activation_and_components():
    tokens = torch.zeros(16, 5)
    tokens[:, 0] = torch.arange(16) - 4.0  # |.| is least in token 4
    inside = np.arange(16) < 12
    mean = feature_map(tokens, inside, "mean", 8)
    assert mean.shape == (8, 8, 3)
    cells = mean[::2, ::2].reshape(16, 3).astype(int)
    assert cells[4].tolist() == [68, 1, 84] and cells[11].tolist() == [253, 231, 36]  # viridis' ends
    assert (cells[12:] == cells[11]).all()  # padding is cut at the end
    first = feature_map(tokens, inside, "pca", 4).reshape(16, 3)
    assert (np.diff(first[:12, 0].astype(int)) > 0).all() and first[0, 0] == 0 and first[11, 0] == 255
    assert (first[:, 1:] == 0).all()  # nothing varies in any other direction
    assert (feature_map(torch.ones(16, 5), inside, "mean", 4) == [68, 1, 84]).all()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--model=tiny"], "give --clip with --frames, or --pairs with --names"),
        (["--model=tiny", "--clip={walk}"], "--clip goes with --frames"),
        (["--clip={walk}", "--frames=1"], "nothing to show"),
        (["--model=tiny", "--clip={walk}/..", "--frames=1"], "no clip, expected visible.mp4"),
        (["--model=tiny", "--clip={walk}", "--frames=1", "--out={walk}/A.csv"], "A.csv"),
        (["--model=tiny", "--clip={walk}", "--frames=60"], "walk/A: has boxes from frame 0 to 59, not of 60"),
        (["--model=tiny", "--clip={walk}", "--frames=1", "--target=B"], "has no target 'B', only A"),
        (["--model=tiny", "--clip={walk}", "--frames=1", "--layers=7"], "tiny: has the layers 0 to 6, not 7"),
        (["--checkpoint=x={walk}/A.csv", "--clip={walk}", "--frames=1"], "expected <run>/checkpoints/last.ckpt"),
        (["--checkpoint=x={run}/checkpoints/none.ckpt", "--clip={walk}", "--frames=1"], "none.ckpt does not exist"),
    ],
)
def test_what_makes_no_sense_is_refused(trained, walk, tmp_path, capsys, arguments, message):
    arguments = [argument.format(walk=walk, run=trained) for argument in arguments]
    status, _, errors = features(capsys, "--out", tmp_path / "out", *arguments)
    assert status == 2 and message in errors


def test_a_target_that_is_absent_has_no_picture(walk, tmp_path, capsys):
    clip = shutil.copytree(walk, tmp_path / "clip")
    boxes = (clip / "A.csv").read_text().splitlines()
    boxes[11] = "10,0,0,0,0,0"
    (clip / "A.csv").write_text("\n".join(boxes) + "\n")
    status, _, errors = features(capsys, "--clip", clip, "--frames", 10, "--model", "tiny", "--out", tmp_path / "out")
    assert status == 2 and "clip/A: the target is absent or has no box in frame 10" in errors
