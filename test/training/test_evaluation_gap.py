"""The modality gap is an unbiased MMD^2 with an honest zero, of what the encoder really computes."""

import csv
import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from tpf_training.evaluation.arguments import NamedModel
from tpf_training.evaluation.cli import main
from tpf_training.evaluation.gap_layers import layer_features
from tpf_training.evaluation.gap_mmd import SCALES, discrepancies, gap, kernel_means, median_squared_distance
from tpf_training.evaluation.layer_features import LayerFeatures
from tpf_training.evaluation.views import make_crops, open_network, still_view

CLIP = Path(__file__).parents[1] / "data/0117_1620"


@pytest.fixture(scope="module")
def network():
    return open_network(NamedModel("tiny", "tiny", None))


@pytest.fixture(scope="module")
def stills(tmp_path_factory):
    """Eight noise pairs whose thermal image is the visible one, and one that is damaged."""
    root, rng = tmp_path_factory.mktemp("stills"), np.random.default_rng(0)
    for index in range(8):
        image = cv2.resize(rng.integers(0, 256, (8, 12), dtype=np.uint8), (96, 64))
        for part in ("visible", "thermal"):
            (root / part).mkdir(exist_ok=True)
            cv2.imwrite(str(root / part / f"{index}.png"), image)
    (root / "thermal/broken.png").write_bytes(b"broken")
    (root / "visible/broken.png").write_bytes(b"broken")
    return root


def draw(rng: np.random.Generator, shift: float = 0.0, pairs: int = 20) -> tuple[torch.Tensor, torch.Tensor]:
    """Two modalities' tokens (pairs, 5, 3): those of an image are alike, and those of a pair are, too."""
    scene = rng.normal(size=(pairs, 1, 3))
    a, b = (scene + rng.normal(size=(pairs, 1, 3)) + 0.1 * rng.normal(size=(pairs, 5, 3)) for _ in range(2))
    return torch.from_numpy(a), torch.from_numpy(b + shift)


def h(a: torch.Tensor, b: torch.Tensor, median: float) -> np.ndarray:
    return discrepancies(*(kernel_means(*tokens, median) for tokens in ((a, a), (b, b), (a, b))))


def of_draw(rng: np.random.Generator, shift: float = 0.0):
    a, b = draw(rng, shift)
    return gap(h(a, b, median_squared_distance(a, b)), 500, 0)


def test_the_estimate_is_the_formula_as_it_is_written():
    a, b = draw(np.random.default_rng(0), 1.0, pairs=6)
    x, y = a.numpy(), b.numpy()
    tokens = np.concatenate([x.reshape(-1, 3), y.reshape(-1, 3)])
    median = np.median([((u - v) ** 2).sum() for i, u in enumerate(tokens) for v in tokens[i + 1 :]])
    # torch takes the lower of two middle values.
    assert median_squared_distance(a, b) == pytest.approx(median, rel=0.02)
    median = median_squared_distance(a, b)

    def k(u, v):
        return np.mean([np.exp(-((u - v) ** 2).sum() / (scale * median)) for scale in SCALES])

    terms = [
        k(x[i, s], x[j, t]) + k(y[i, s], y[j, t]) - k(x[i, s], y[j, t]) - k(y[i, s], x[j, t])
        for i in range(6)
        for j in range(6)
        for s in range(5)
        for t in range(5)
        if i != j
    ]
    assert gap(h(a, b, median), 100, 0).squared == pytest.approx(np.mean(terms), rel=1e-9)


def test_zero_looks_like_zero_and_a_gap_like_a_gap():
    rng = np.random.default_rng(1)
    same = [of_draw(rng) for _ in range(200)]
    squared = np.array([g.squared for g in same])
    assert abs(squared.mean()) < 3 * squared.std() / np.sqrt(len(same))  # unbiased, though images' tokens are alike
    assert 0.02 <= np.mean([g.p <= 0.05 for g in same]) <= 0.1
    assert 0.02 <= np.mean([g.squared > g.noise for g in same]) <= 0.1
    apart = [of_draw(rng, 2.0) for _ in range(50)]
    assert all(g.squared > 3 * g.noise and g.p < 0.01 for g in apart)
    # The standard error is that of an estimate from one draw.
    assert np.mean([g.error for g in apart]) == pytest.approx(np.std([g.squared for g in apart]), rel=0.3)


def test_an_offset_that_all_features_share_costs_no_digits():
    a, b = (tokens.float() for tokens in draw(np.random.default_rng(2), 1.0))
    far = [h(a + offset, b + offset, 1.0) for offset in (0, 1000)]
    np.testing.assert_allclose(*far, atol=2e-3)


def test_layers_are_those_of_the_search_crop_and_the_encoder_is_left_as_it_was(network):
    rng = np.random.default_rng(0)
    view = still_view("one", *(rng.integers(0, 256, (64, 96, *last), dtype=np.uint8) for last in ((3,), ())))
    crops = make_crops(network, view)
    assert crops.search.shape == (3, 3, 256, 256) and crops.template.shape == (3, 3, 128, 128)
    with torch.inference_mode():
        torch.testing.assert_close(crops.search[2], network.fuse(crops.search[:1], crops.search[1:2])[0])
    encoder = network.encoder
    with torch.inference_mode(), LayerFeatures(encoder) as features:
        for _ in range(2):  # the last pass counts
            output = network.encode(crops.template, crops.template, crops.search)
    assert len(features.tokens) == network.config.depth + 1
    with torch.inference_mode():
        torch.testing.assert_close(encoder.norm(features.tokens[-1]), output)
        searched = (crops.search - network.mean) / network.std
        torch.testing.assert_close(features.tokens[0], encoder.patch_embed(searched))
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in encoder.modules())
    # The same places in all layers; as pixels, a token is the patch.
    kept = layer_features({"tiny": network}, [view], 7, 0)["tiny"]
    places = [int((features.tokens[3][0] == token).all(dim=1).nonzero()) for token in kept["3"][0, 0]]
    torch.testing.assert_close(kept["embedding"][0, 1], features.tokens[0][1, places])
    row, column = divmod(places[2], 16)
    patch = searched[0, :, 16 * row : 16 * row + 16, 16 * column : 16 * column + 16]
    torch.testing.assert_close(kept["pixels"][0, 0, 2], patch.flatten())


def test_black_padding_does_not_count(network):
    image = np.full((64, 96), 255, np.uint8)
    view = still_view("one", np.repeat(image[..., None], 3, 2), image)
    corner = type(view)("corner", view.template, view.template_box, view.search, (-8.0, -8.0, 16.0, 16.0), True)
    inside = corner.inside(network.config).reshape(16, 16)
    assert not inside[:8].any() and not inside[:, :8].any() and inside[8:, 8:].all()
    pixels = layer_features({"tiny": network}, [corner], 100, 0)["tiny"]["pixels"][:, :2]
    assert (pixels > -1).all()  # black is -2


def test_a_real_clip_gives_the_same_numbers_again_in_every_form(tmp_path, capsys):
    (tmp_path / "clip").mkdir()
    for name in ("visible.mp4", "thermal.mp4", "A.csv"):
        (tmp_path / "clip" / name).symlink_to(CLIP / name)
    arguments = ["gap", "--clips", tmp_path / "clip", "--model", "tiny", "--samples", 9, "--tokens", 3]
    files = [f"--{kind}={tmp_path / 'out'}.{kind}" for kind in ("json", "csv", "markdown")]
    assert main([*map(str, arguments), *files, f"--plot={tmp_path / 'gap.svg'}"]) == 0
    shown = capsys.readouterr().out
    assert "9 pairs (frames)" in shown and "Frames of one clip are alike" in shown
    report = json.loads((tmp_path / "out.json").read_text())
    gaps = report["models"]["tiny"]["visible-thermal"]
    assert list(gaps) == ["pixels", "embedding", *map(str, range(1, 7))]
    assert gaps["6"]["squared"] > gaps["6"]["noise"] > 0  # smoke, which only one camera sees through
    with open(tmp_path / "out.csv", newline="") as file:
        lines = {(line["inputs"], line["layer"]): line for line in csv.DictReader(file)}
    assert len(lines) == 3 * 8
    assert float(lines["visible-thermal", "6"]["mmd2"]) == gaps["6"]["squared"]
    assert f"| 6 | {gaps['6']['squared']:.4f} ± " in (tmp_path / "out.markdown").read_text()
    assert "<!-- fused against visible -->" in (tmp_path / "gap.svg").read_text()
    assert main([*map(str, arguments), f"--json={tmp_path / 'again.json'}"]) == 0
    again = json.loads((tmp_path / "again.json").read_text())["models"]["tiny"]["visible-thermal"]["6"]
    assert again == pytest.approx(gaps["6"], rel=1e-4)


def test_equal_images_have_no_gap_and_damage_is_named(stills, tmp_path, capsys):
    arguments = ["gap", "--pairs", stills, "--model", "tiny", "--tokens", 4, f"--json={tmp_path / 'out.json'}"]
    assert main([str(argument) for argument in arguments]) == 1
    shown, errors = capsys.readouterr()
    assert f"{stills}/visible/broken.png: missing or damaged image" in shown and "1 pair(s) could not be used" in errors
    report = json.loads((tmp_path / "out.json").read_text())
    assert report["pairs"] == 8
    for layer in report["models"]["tiny"]["visible-thermal"].values():
        assert layer["squared"] == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--model=tiny"], "give either --pairs or --clips"),
        (["--model=tiny", "--pairs={stills}", f"--clips={CLIP}"], "give either --pairs or --clips"),
        (["--pairs={stills}"], "nothing to look into: give --model or --weights"),
        (["--model=tiny", "--weights=tiny=x", "--pairs={stills}"], "two models are called 'tiny'"),
        (["--weights=x=nowhere", "--pairs={stills}"], "x: weights file nowhere does not exist"),
        (["--model=tiny", "--pairs={stills}", "--plot=gap.jpg"], "can be .png or .svg, not .jpg"),
        (["--model=tiny", f"--clips={CLIP}", f"--clips={CLIP}"], "two targets are called '0117_1620/A'"),
        (["--model=tiny", "--pairs={black}"], "layer pixels: most tokens are equal: are the images black?"),
        (["--model=tiny", "--pairs={few}"], "1 usable pairs: at least 8 are needed"),
    ],
)
def test_what_makes_no_sense_is_refused(stills, data_root, tmp_path, capsys, arguments, message):
    for file in (tmp_path / part / f"{index}.png" for index in range(8) for part in ("visible", "thermal")):
        file.parent.mkdir(exist_ok=True)
        cv2.imwrite(str(file), np.zeros((32, 32), np.uint8))
    folders = {"stills": stills, "few": data_root / "rgbt_pairs/set", "black": tmp_path}
    arguments = [argument.format(**folders) for argument in arguments]
    assert main(["gap", *arguments]) == 2
    assert message in capsys.readouterr().err
