"""Fused images get the published measures' numbers, and what cannot be measured is named and costs nothing else."""

import csv
import json
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
from skimage import measure, metrics

from tpf_model.frame import Frame
from tpf_model.runtime import open_session
from tpf_model.tracker import fuse_frame
from tpf_training.evaluation.cli import main
from tpf_training.evaluation.clips import read_paired
from tpf_training.evaluation.fusion_metrics import MEASURES

CLIP = Path(__file__).parents[1] / "data/0117_1620"
WANG = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False, "data_range": 255}


def fusion(capsys, *arguments) -> tuple[int, str, str]:
    status = main(["fusion", *map(str, arguments)])
    return status, *capsys.readouterr()


def expected(fused: np.ndarray, visible: np.ndarray, thermal: np.ndarray) -> dict[str, float]:
    """By scikit-image, and what it lacks by the formula as it is written; float64 luminance."""
    both = [image.astype(np.float64) for image in (visible, thermal)]
    f = fused.astype(np.float64)
    squares = sum((f[y, x] - f[y, x - 1]) ** 2 for y in range(len(f)) for x in range(1, f.shape[1]))
    squares += sum((f[y, x] - f[y - 1, x]) ** 2 for y in range(1, len(f)) for x in range(f.shape[1]))
    information = 0.0
    for source in both:
        joint = np.histogram2d(f.ravel(), source.ravel(), bins=256, range=[[0, 256]] * 2)[0] / f.size
        rows, columns = np.nonzero(joint)
        p = joint[rows, columns]
        information += (p * np.log2(p / (joint.sum(axis=1)[rows] * joint.sum(axis=0)[columns]))).sum()
    return {
        "EN": measure.shannon_entropy(fused),
        "SF": np.sqrt(squares / f.size),
        "MI": information,
        "MSE": np.mean([metrics.mean_squared_error(f, source) for source in both]),
        # Of both sources as one image: its ratio is that of the mean error.
        "PSNR": metrics.peak_signal_noise_ratio(np.stack(both), np.stack([f, f]), data_range=255),
        "SSIM": np.mean([metrics.structural_similarity(f, source, **WANG) for source in both]),
    }


@pytest.fixture(scope="module")
def images():
    """A real pair, 160x120: visible RGB and thermal."""
    visible, thermal = next(read_paired(CLIP)[0].images())
    return visible[200:320, 240:400], thermal[200:320, 240:400]


@pytest.fixture
def folder(images, tmp_path):
    """Two sets, `day` with two pairs and `night` with one, and fused images of them, visible's luminance."""
    visible, thermal = images
    for name, shift in (("day/a", 0), ("day/b", 40), ("night/a", 90)):
        write(tmp_path / "pairs" / name.replace("/", "/visible/"), cv2.cvtColor(np.roll(visible, shift, 1), 4))
        write(tmp_path / "pairs" / name.replace("/", "/thermal/"), np.roll(thermal, shift, 1))
        write(tmp_path / "fused" / name, cv2.cvtColor(np.roll(visible, shift, 1), cv2.COLOR_RGB2GRAY))
    return tmp_path / "pairs"


def write(stem: Path, image: np.ndarray) -> None:
    stem.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(f"{stem}.png", image)


def test_measures_are_those_of_scikit_image_and_of_the_formulas(images):
    visible, thermal = cv2.cvtColor(images[0], cv2.COLOR_RGB2GRAY), images[1]
    noise = np.random.default_rng(0).integers(0, 256, thermal.shape, dtype=np.uint8)
    flat = np.full_like(thermal, 255)
    for fused in (cv2.addWeighted(visible, 0.5, thermal, 0.5, 0), noise, flat, visible):
        wanted = expected(fused, visible, thermal)
        for name, function in MEASURES.items():
            assert function(fused, visible, thermal) == pytest.approx(wanted[name], rel=1e-9, abs=1e-9), name


def test_models_addition_and_folders_stand_side_by_side(folder, images, tmp_path, capsys):
    files = [f"--{kind}={tmp_path / 'out'}.{kind}" for kind in ("json", "csv", "markdown")]
    fused = tmp_path / "fused"
    arguments = "--pairs", folder, "--model", "tiny", "--addition", "--fused", f"visible={fused}"
    status, shown, errors = fusion(capsys, *arguments, "--fused", f"again={fused}/{{set}}", *files)
    assert (status, errors) == (0, "") and "over 3 pairs" in shown and "BT.601" in shown
    report = json.loads((tmp_path / "out.json").read_text())
    assert list(report["fusions"]) == ["tiny", "visible", "again", "addition"]
    visible, thermal = images
    grey = cv2.cvtColor(visible, cv2.COLOR_RGB2GRAY)
    ours = cv2.cvtColor(fuse_frame(open_session("tiny", threads=1), Frame(visible, thermal)), cv2.COLOR_RGB2GRAY)
    mean = cv2.cvtColor(((visible / 2 + thermal[..., None] / 2).round()).astype(np.uint8), cv2.COLOR_RGB2GRAY)
    for name, image in (("tiny", ours), ("visible", grey), ("again", grey), ("addition", mean)):
        entry = report["fusions"][name]
        assert entry["pairs"]["day/a"] == pytest.approx(expected(image, grey, thermal), rel=1e-9), name
        sets, values = entry["sets"], entry["pairs"]
        assert {group: sets[group]["pairs"] for group in sets} == {"day": 2, "night": 1}
        day = [values["day/a"]["SF"], values["day/b"]["SF"]]
        assert sets["day"]["mean"]["SF"] == pytest.approx(np.mean(day))
        assert sets["day"]["std"]["SF"] == pytest.approx(np.std(day, ddof=1))
        assert entry["all"]["mean"]["EN"] == pytest.approx(np.mean([pair["EN"] for pair in values.values()]))
    with open(tmp_path / "out.csv", newline="") as file:
        lines = [line for line in csv.DictReader(file) if line["fusion"] == "tiny"]
    assert [line["kind"] for line in lines] == ["all", "set", "set", "pair", "pair", "pair"]
    assert float(lines[0]["MI"]) == report["fusions"]["tiny"]["all"]["mean"]["MI"]
    assert float(lines[0]["MI_std"]) == report["fusions"]["tiny"]["all"]["std"]["MI"]
    total = report["fusions"]["addition"]["all"]
    row = f"| addition | 3 | {total['mean']['EN']:.2f} ± {total['std']['EN']:.2f} |"
    assert row in (tmp_path / "out.markdown").read_text()


def test_a_folder_without_sets_and_any_suffix_will_do(images, tmp_path, capsys):
    visible, thermal = images
    write(tmp_path / "flat/visible/one", cv2.cvtColor(visible, cv2.COLOR_RGB2BGR))
    (tmp_path / "flat/thermal").mkdir()
    cv2.imwrite(str(tmp_path / "flat/thermal/one.jpg"), thermal)
    (tmp_path / "flat/thermal/notes.txt").write_text("no image")
    write(tmp_path / "fused/one", thermal)
    out = f"--json={tmp_path / 'out.json'}"
    assert fusion(capsys, "--pairs", tmp_path / "flat", "--fused", f"f={tmp_path / 'fused'}", out)[0] == 0
    entry = json.loads((tmp_path / "out.json").read_text())["fusions"]["f"]
    assert entry["all"]["pairs"] == 1 and list(entry["pairs"]) == ["one"] and entry["sets"] == {}


def test_held_out_stills_are_measured(images, tmp_path, capsys):
    write(tmp_path / "visible/0117_1620_0008", images[0])
    write(tmp_path / "thermal/0117_1620_0008", images[1])
    assert fusion(capsys, "--pairs", tmp_path, "--addition")[0] == 0


def test_no_error_is_an_infinite_ratio(tmp_path, capsys):
    grey = np.random.default_rng(0).integers(0, 256, (20, 30), dtype=np.uint8)
    for part in ("visible", "thermal"):
        write(tmp_path / part / "one", grey)
    status, shown, _ = fusion(capsys, "--pairs", tmp_path, "--addition", f"--json={tmp_path / 'out.json'}")
    mean = json.loads((tmp_path / "out.json").read_text())["fusions"]["addition"]["all"]["mean"]
    assert status == 0 and mean["PSNR"] is None and mean["MSE"] == 0 and mean["SSIM"] == pytest.approx(1)


def test_what_cannot_be_measured_is_named_and_costs_nothing_else(folder, tmp_path, capsys):
    fused, good = tmp_path / "fused", folder / "day/visible/a.png"
    (folder / "day/thermal/b.png").unlink()
    for name in ("c", "d", "e", "f", "g"):
        for part in ("visible", "thermal"):
            shutil.copy(folder / f"day/{part}/a.png", folder / f"day/{part}/{name}.png")
    (folder / "day/visible/c.png").write_bytes(good.read_bytes()[:900])
    write(folder / "day/thermal/d", np.zeros((120, 100), np.uint8))
    write(fused / "day/e", np.zeros((60, 80), np.uint8))
    write(fused / "day/f", np.zeros((120, 160), np.uint16))
    shutil.copy(good, folder / "day/visible/g.jpg")
    for part in ("visible", "thermal"):
        write(folder / f"day/{part}/h", np.zeros((8, 30), np.uint8))
    (fused / "night/a.png").write_bytes(b"")
    arguments = "--pairs", folder, "--addition", "--fused", f"x={fused}", f"--json={tmp_path / 'out.json'}"
    status, shown, errors = fusion(capsys, *arguments)
    assert status == 1 and "8 image(s) or pair(s) could not be measured" in errors
    for message in (
        f"{folder}/day/thermal/b.*: missing",
        f"{folder}/day/visible/c.png: missing or damaged image: cut off after 900 bytes",
        f"{folder}/day/thermal/d.png: is (100, 120)",
        f"{fused}/day/e.png: is 80x60, its pair is 160x120",
        f"{fused}/day/f.png: is uint16, the measures are defined for 8 bits",
        f"{folder}/day/visible: several images are called 'g': g.jpg, g.png",
        f"{folder}/day/thermal/h.png: is 30x8, SSIM needs 11 pixels each way",
        f"{fused}/night/a.png: damaged image: 0 bytes",
    ):
        assert message in shown, message
    report = json.loads((tmp_path / "out.json").read_text())
    assert set(report["fusions"]["addition"]["pairs"]) == {"day/a", "day/e", "day/f", "night/a"}
    assert set(report["fusions"]["x"]["pairs"]) == {"day/a"}
    assert set(report["fusions"]["x"]["failed"]) == {"day/e", "day/f", "night/a"}
    (fused / "day/a.png").unlink()
    status, shown, _ = fusion(capsys, *arguments)
    assert status == 1 and "expert 'x' has no image of pair 'day/a'" in shown
    assert json.loads((tmp_path / "out.json").read_text())["fusions"]["x"]["all"]["mean"] == {}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "nothing to measure: give --model, --weights, --fused or --addition"),
        (["--fused=tiny={fused}", "--model=tiny"], "two fusions are called 'tiny'"),
        (["--fused=x={fused}/../nowhere/{{set}}"], "nowhere: no such folder of fused images"),
        (["--model=base"], "base: weights file"),
        (["--weights=x=model.onnx"], "x: weights file model.onnx is an exported one"),
        (["--addition", "--csv=nowhere/out.csv"], "there is no folder"),
        (["--addition", "--pairs={fused}"], "no pairs, expected <set>/{visible,thermal}/<name>"),
    ],
)
def test_what_makes_no_sense_is_refused(folder, tmp_path, capsys, arguments, message):
    arguments = [argument.format(fused=tmp_path / "fused") for argument in arguments]
    status, _, errors = fusion(capsys, "--pairs", folder, *arguments)
    assert status == 2 and message in errors
