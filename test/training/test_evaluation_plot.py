"""Figures show the numbers that `tpf-eval score` prints, and name what they do not show."""

import json
import re
import warnings

import numpy as np
import pytest
from matplotlib.colors import to_hex

from tpf_training.evaluation.benchmarks import BENCHMARKS, LASHER_ATTRIBUTES
from tpf_training.evaluation.cli import main
from tpf_training.evaluation.plot_curves import draw_curves, ranked
from tpf_training.evaluation.plot_radar import draw_radar
from tpf_training.evaluation.plot_style import lines

TRUTH = np.array([[100.0, 100, 20, 40]] * 10)
NAMES = ["boy", "boy2", "car"]


def write(file, numbers) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    np.savetxt(file, numbers, "%.4f", delimiter=",")


def plot(capsys, *arguments) -> tuple[int, str, str]:
    status = main(["plot", *map(str, arguments)])
    return status, *capsys.readouterr()


@pytest.fixture
def arguments(tmp_path):
    """LasHeR's layout and three trackers, each a little further off; `far` has no times."""
    for name in NAMES:
        write(tmp_path / "gt" / name / "init.txt", TRUTH)
        write(tmp_path / "gt" / "att" / f"{name}.txt", [[index % 4 for index in range(len(LASHER_ATTRIBUTES))]])
        for tracker, step in (("near $1$ <&>", 0.5), ("_middle", 1.5), ("far", 4)):
            shift = np.outer(np.arange(10), [step, 0, 0, 0])
            write(tmp_path / tracker / f"{name}.txt", TRUTH + shift)
            if tracker != "far":
                # Initialisation takes long, and does not count.
                write(tmp_path / tracker / f"{name}_time.txt", [9, *[0.01 * step] * 9])
    folders = [tmp_path / name for name in ("far", "_middle", "near $1$ <&>")]
    return "--dataset", "lasher", "--gt", tmp_path / "gt", "--results", *folders


def shown_text(file) -> list[str]:
    return [re.sub("<.*?>", "", text) for text in re.findall("<text.*?</text>", file.read_text())]


def legend(file) -> list[str]:
    return [text for text in shown_text(file) if text.startswith("[")]


def test_legends_hold_the_numbers_that_score_prints_best_first(arguments, tmp_path, capsys):
    assert main(["score", *map(str, arguments), "--json", str(tmp_path / "scores.json")]) == 0
    capsys.readouterr()
    trackers = json.loads((tmp_path / "scores.json").read_text())["trackers"]
    out = tmp_path / "deep" / "figures"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        status, shown, errors = plot(capsys, *arguments, "--out", out, "--format", "svg", "png")
    assert status == 0
    stems = {"precision": "PR", "normalised_precision": "NPR", "success": "SR", "attributes": "SR", "speed": "SR"}
    assert {path.name for path in out.iterdir()} == {f"{stem}.{kind}" for stem in stems for kind in ("svg", "png")}
    assert set(shown.split()) == {str(path) for path in out.iterdir()}
    for stem, score in stems.items():
        expected = [
            f"[{100 * trackers[name]['scores'][score]:.2f}] {shown}"
            for name, shown in (("near $1$ <&>", "near $1$ &lt;&amp;&gt;"), ("_middle", "_middle"), ("far", "far"))
        ]
        if stem == "speed":
            expected = [expected[0] + ", 200.0 FPS", expected[1] + ", 66.7 FPS"]
        assert legend(out / f"{stem}.svg") == expected, stem
        assert (out / f"{stem}.png").read_bytes().startswith(b"\x89PNG")
    assert f"far is not in the figure of speed: {tmp_path / 'far'} has no usable <sequence>_time.txt" in errors
    assert "fewer than 3" not in errors


def test_lines_are_the_curves_of_the_scores(arguments, tmp_path):
    assert main(["score", *map(str, arguments), "--json", str(tmp_path / "scores.json")]) == 0
    report = json.loads((tmp_path / "scores.json").read_text())
    for curve in BENCHMARKS["lasher"]["rgbt"].curves:
        axes = draw_curves(report, curve, lines(list(report["trackers"]))).axes[0]
        for name, line in zip(report["trackers"], axes.lines):
            assert line.get_xdata().tolist() == list(curve.thresholds)
            score = report["trackers"][name]["scores"][curve.name]
            assert curve.number(np.asarray(line.get_ydata())) == pytest.approx(score, abs=1e-12)


def test_the_radar_has_each_attribute_s_score_on_its_spoke(arguments, tmp_path):
    arguments = (*arguments, "--json", tmp_path / "scores.json")
    flags = np.ones((1, len(LASHER_ATTRIBUTES)))
    flags[0, 1] = 0
    write(tmp_path / "gt/att/car.txt", flags)
    write(tmp_path / "far" / "car.txt", TRUTH)
    assert main(["score", *map(str, arguments)]) == 0
    report = json.loads((tmp_path / "scores.json").read_text())
    axes = draw_radar(report, "SR", lines(list(report["trackers"]))).axes[0]
    spokes = [label.get_text().split()[0] for label in axes.get_xticklabels()]
    far = next(line for line, name in zip(axes.lines, ranked(report, "SR")) if name == "far")
    expected = [100 * report["trackers"]["far"]["attributes"][name]["SR"] for name in spokes]
    assert list(far.get_ydata()) == [*expected, expected[0]] and len(set(expected)) > 1


def test_ten_trackers_look_different():
    looks = lines([str(number) for number in range(10)], "7")
    assert len({(to_hex(look.colour), look.dashes) for look in looks.values()}) == 10
    assert max(looks.values(), key=lambda look: look.width) is looks["7"]


def test_what_is_not_shown_is_named(arguments, tmp_path, capsys):
    for name in NAMES:
        (tmp_path / "far" / f"{name}.txt").write_text("no numbers\n")
    (tmp_path / "_middle" / "car.txt").unlink()
    (tmp_path / "near $1$ <&>" / "boy_time.txt").write_text("0.01\nslow\n")
    (tmp_path / "gt" / "att").rename(tmp_path / "elsewhere")
    status, _, errors = plot(capsys, *arguments, "--out", tmp_path / "out", "--format", "svg")
    assert status == 1
    assert "far is in no figure: none of its results could be scored" in errors
    assert f"_middle: {tmp_path}/_middle/car.txt: cannot be read" in errors
    assert "boy_time.txt: line 2 is 'slow', needs 1 numbers in every line" in errors
    assert "there is no figure of attributes: fewer than 3 are known of these sequences" in errors
    assert legend(tmp_path / "out/precision.svg")[1].endswith(" _middle (2/3 sequences)")
    assert "there is no figure of speed: fewer than 2 trackers have times" in errors
    assert {path.stem for path in (tmp_path / "out").iterdir()} == {"precision", "normalised_precision", "success"}


def test_a_folder_that_cannot_be_made_is_refused(arguments, tmp_path, capsys):
    (tmp_path / "file").write_text("")
    status, _, errors = plot(capsys, *arguments, "--out", tmp_path / "file" / "out")
    assert status == 2 and "file/out: cannot be made" in errors
