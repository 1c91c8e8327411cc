"""One quick run of all rows that a CPU can measure, and what is made of rows."""

import argparse
import json
import shutil
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import cv2
import pytest
import torch
from torch.nn import BatchNorm2d

from tpf_model.runtime import open_session
from tpf_model.tracker import State
from tpf_model.weights import RANDOM
from tpf_ros import cli
from tpf_ros.bench import accuracy_rows, command, gpu_rows, suite
from tpf_ros.bench.conditions import Conditions
from tpf_ros.bench.report import BEGIN, END
from tpf_ros.bench.row import Measured, NotMeasured, Target, to_json
from tpf_ros.bench.sessions import frame_call, open_here, open_plain

CLIP = Path(__file__).parents[1] / "data/0117_1620"
KEYS = ["name", "value", "unit", "target", "passed", "device"]
TARGETS = [target for experiment in suite.EXPERIMENTS for target in experiment.targets]


@pytest.fixture(scope="module")
def quick(tmp_path_factory):
    """The folder of a run's rows.json, page.md and pictures."""
    folder = tmp_path_factory.mktemp("bench")
    (folder / "page.md").write_text(f"# Before\n\n{BEGIN}\nan old table\n{END}\n\nAfter\n")
    outputs = ["--json", f"{folder}/rows.json", "--markdown", f"{folder}/page.md", "--plot", str(folder)]
    assert cli.main(["bench", "--quick", "--device", "cpu", *outputs]) == 0
    return folder


@pytest.fixture(scope="module")
def rows(quick):
    return {row["name"]: row for row in json.loads((quick / "rows.json").read_text())}


def test_every_target_has_a_row(rows):
    assert list(rows) == [target.name for target in TARGETS]
    for target, row in zip(TARGETS, rows.values()):
        assert list(row)[:6] == KEYS and (row["target"], row["unit"]) == (target.limit, target.unit)
        assert row["machine"] and row["what"]


def test_no_row_waits_for_what_takes_long_to_compile():
    assert [target.name for target in suite.EXPERIMENTS[-1].targets] == ["gpu.adapter_against_compiled"]


def test_rows_of_a_gpu_are_not_measured_and_say_why(rows):
    for name, row in rows.items():
        if name.startswith("gpu.") or name.endswith("gpu") or "cuda" in name:
            assert (row["value"], row["passed"], row["reason"]) == (None, None, "--device cpu")
    assert rows["cpu.int8_loss_tiny"]["reason"] == "needs labelled clips: --clips DIR"


def test_rows_of_the_cpu_are_measured(rows):
    for name in ("cpu.adapter_against_eager", "cpu.adapter_share", "cpu.frame_rate", "cpu.frame_against_eager"):
        row = rows[name]
        assert 0 < row["low"] <= row["value"] <= row["high"] and row["device"].startswith("CPU, 2 threads")
        at_most = row["bound"] == "<="
        assert row["passed"] == (row["value"] <= row["target"] if at_most else row["value"] >= row["target"])
    times = rows["cpu.frame_rate"]["parts"]
    assert {"eager PyTorch (ms)", "PyTorch float32, our kernel (ms)"} < set(times)
    stages = rows["cpu.adapter_share"]["parts"]
    assert 0 < stages["adapter, PyTorch, our kernel (ms)"] < stages["frame, ours (ms)"]
    encoder = rows["cpu.encoder_time_tiny"]
    assert 0 < encoder["value"] and {"eager PyTorch (ms)", "PyTorch, our kernel (ms)"} < set(encoder["parts"])
    assert rows["start.cpu"]["value"] > 0


def test_ours_is_compared_with_a_network_to_which_nothing_was_done():
    def has_norms(session):
        return any(isinstance(module, BatchNorm2d) for module in session._network.modules())

    assert has_norms(open_plain("tiny", "cpu"))
    assert not has_norms(open_here("tiny", "cpu", Conditions(), runtime="eager"))


def test_a_timed_frame_of_an_untrained_network_is_one_that_is_tracked(monkeypatch):
    session = open_session("tiny", "cpu", weights=RANDOM)
    track, learn, learnt = frame_call(session), session.learn, []
    monkeypatch.setattr(session, "learn", lambda *arguments: learnt.append(arguments) or learn(*arguments))
    states = [track().state for _ in range(40)]  # more than it takes to be lost
    assert set(states) == {State.TRACKING}
    assert len(learnt) == 40


def test_everything_that_runs_here_is_as_exact_as_wanted(rows):
    measured = [row for name, row in rows.items() if name.startswith("error.") and row["value"] is not None]
    assert len(measured) >= 5 and all(row["passed"] for row in measured)
    # An error of nothing at all would mean that something was compared with itself.
    assert all(row["value"] > 0 for row in measured)


def test_the_page_keeps_what_is_around_the_table(quick, rows):
    page = (quick / "page.md").read_text()
    assert page.startswith(f"# Before\n\n{BEGIN}\n| what") and page.endswith(f"\n{END}\n\nAfter\n")
    assert "an old table" not in page
    assert all(f"`{name}`" in page for name in rows)
    assert page.count("not measured: --device cpu") == sum(row.get("reason") == "--device cpu" for row in rows.values())
    assert f"Measured on: {rows['start.cpu']['machine']}." in page


def test_pictures_show_something(quick):
    for name in ("performance_targets.png", "performance_times.png"):
        assert cv2.imread(str(quick / name)).std() > 10


@pytest.fixture
def clip(tmp_path):
    """The clip that ships, but the first frames of one of its targets only."""
    folder = tmp_path / "clip"
    shutil.copytree(CLIP, folder, ignore=shutil.ignore_patterns("*.csv"))
    lines = (CLIP / "B.csv").read_text().splitlines(keepends=True)
    (folder / "B.csv").write_text("".join(lines[:5]))
    return folder


def test_accuracy_is_that_of_all_targets_of_the_clips(clip):
    conditions = Conditions(clips=(clip,))
    rate = accuracy_rows._mean_rate("tiny", {"runtime": "eager"}, conditions)
    assert 50 < rate < 100 * 20 / 21
    (clip / "C.csv").write_text((clip / "B.csv").read_text())
    assert accuracy_rows._mean_rate("tiny", {"runtime": "eager"}, conditions) == pytest.approx(rate)


def test_accuracy_is_measured_from_many_starts(clip, monkeypatch):
    monkeypatch.setattr(accuracy_rows, "_EVERY", 2)
    monkeypatch.setattr(accuracy_rows, "_FRAMES", 3)
    started = []
    monkeypatch.setattr(accuracy_rows, "_rate", lambda file, settings, truth, start: started.append(start) or 50.0)
    lines = (clip / "B.csv").read_text().splitlines()
    first = int(lines[1].split(",")[0])
    absent = [f"{first + number},0,0,0,0,0" for number in (5, 6, 7, 8)]
    seen = [f"{first + number},9,9,20,20,1" for number in (9, 10)]
    (clip / "B.csv").write_text("\n".join([*lines, *absent, *seen]) + "\n")
    assert accuracy_rows._mean_rate("tiny", {"runtime": "eager"}, Conditions(clips=(clip,))) == 50
    assert started == [first, first + 2], "the target is absent from the fifth frame on, or behind the last start"


def row(name, value, bound=">=", unit="x", reason=None):
    row = {"name": name, "value": value, "unit": unit, "target": 1, "passed": None, "device": "CPU", "bound": bound}
    return row | {"what": name, "machine": "one", "reason": reason}


EARLIER = [row("a", 10.0), row("b", 0.1, "<=", "share"), row("c", 30.0, unit="FPS"), row("d", None)]


def guard(tmp_path, rows, *arguments, earlier=EARLIER):
    (tmp_path / "earlier.json").write_text(json.dumps(earlier))
    (tmp_path / "rows.json").write_text(json.dumps(rows))
    files = ["--from", str(tmp_path / "rows.json"), "--guard", str(tmp_path / "earlier.json")]
    return cli.main(["bench", *files, *arguments])


@pytest.mark.parametrize(
    ("now", "said"),
    [
        ([row("a", 9.0), row("b", 0.11, "<=", "share")], ""),
        ([row("a", 20.0), row("b", 0.01, "<=", "share")], ""),
        ([row("a", 8.0)], "a was 10, is 8: 25 % worse"),
        ([row("b", 0.2, "<=", "share")], "b was 0.1, is 0.2: 100 % worse"),
        ([row("a", 10.0), row("c", 1.0, unit="FPS"), row("d", 1.0)], ""),  # times depend on the machine; d is new
        ([row("a", None, reason="no compiler")], "a was 10, and is not measured any more: no compiler"),
    ],
)
def test_the_guard_is_about_ratios_that_got_worse(tmp_path, capsys, now, said):
    assert guard(tmp_path, now) == (1 if said else 0)
    output = capsys.readouterr().out
    assert said in output and ("worse than in" in output) == bool(said)


def test_the_guard_tolerates_what_it_is_told_to(tmp_path):
    assert guard(tmp_path, [row("a", 8.0)], "--tolerance", "0.3") == 0
    assert guard(tmp_path, [row("a", 9.0)], "--tolerance", "0") == 1


def test_rows_of_two_machines_become_one_table(tmp_path, capsys):
    files = [tmp_path / "cpu.json", tmp_path / "gpu.json"]
    files[0].write_text(json.dumps([row("a", 1.0), row("b", None, reason="no GPU")]))
    files[1].write_text(json.dumps([row("a", None, reason="--device cuda"), row("b", 7.0)]))
    assert cli.main(["bench", "--from", *map(str, files), "--json", str(tmp_path / "both.json")]) == 0
    assert [row["value"] for row in json.loads((tmp_path / "both.json").read_text())] == [1.0, 7.0]
    assert "no GPU" not in capsys.readouterr().out


def test_what_breaks_one_row_leaves_the_others_and_fails(monkeypatch, tmp_path):
    broken, fine = (Target(f"cpu.{name}", name, "x", ">=", 1) for name in ("broken", "fine"))
    experiments = (
        suite.Experiment((broken,), lambda conditions: {}["nothing"]),
        suite.Experiment((fine,), lambda conditions: {fine.name: Measured(2.0, "CPU")}),
    )
    monkeypatch.setattr(suite, "EXPERIMENTS", experiments)
    assert cli.main(["bench", "--json", str(tmp_path / "rows.json")]) == 1
    first, second = json.loads((tmp_path / "rows.json").read_text())
    assert first["value"] is None and first["reason"] == "failed: KeyError: 'nothing'"
    assert (second["value"], second["passed"]) == (2.0, True)


def test_a_row_is_met_on_its_own_side_of_the_target():
    at_most = Target("cpu.a", "a", "x", "<=", 0.5)
    at_least = replace(at_most, bound=">=")
    for value in (0.4, 0.5, 0.6):
        assert to_json(at_most, Measured(value, "CPU"), "one")["passed"] is (value <= 0.5)
        assert to_json(at_least, Measured(value, "CPU"), "one")["passed"] is (value >= 0.5)


def test_memory_that_a_gpu_shares_with_the_cpu_is_not_taken_for_its_own(monkeypatch):
    orin = SimpleNamespace(name="Orin", is_integrated=1)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: orin)
    with pytest.raises(NotMeasured, match="Orin has no memory of its own"):
        gpu_rows.measure_memory(Conditions())


def test_a_device_is_left_out_with_the_reason():
    with pytest.raises(NotMeasured, match="--device cuda"):
        Conditions(device="cuda").cpu()
    with pytest.raises(NotMeasured, match="--device cpu"):
        Conditions(device="cpu").gpu()
    with pytest.raises(NotMeasured, match="no CUDA GPU 99"):
        Conditions(device="cuda:99").gpu()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--only", "cpu.frame_rat"], "no row or group 'cpu.frame_rat'; did you mean 'cpu.frame_rate'?"),
        (["--device", "tpu"], "unknown device 'tpu'"),
        (["--clips", "nowhere"], "--clips nowhere needs visible.mp4"),
        (["--json", "nowhere/rows.json"], "there is no folder"),
        (["--plot", "nowhere"], "--plot nowhere: there is no such folder"),
        (["--from", "nowhere.json"], "nowhere.json cannot be read as JSON"),
        (["--guard", "{folder}/dict.json"], "is not what `tpf bench --json` writes"),
        (["--from", "{folder}/rows.json", "--guard", "{folder}/none.json"], "nothing to guard"),
        (["--from", "{folder}/rows.json", "--markdown", "{folder}/page.md"], "has no lines '<!-- tpf bench -->'"),
    ],
)
def test_what_cannot_be_used_is_an_error_that_names_it(tmp_path, capsys, arguments, said):
    (tmp_path / "dict.json").write_text('{"name": "a"}')
    (tmp_path / "rows.json").write_text(json.dumps([row("a", 1.0)]))
    (tmp_path / "none.json").write_text("[]")
    (tmp_path / "page.md").write_text("no place for a table\n")
    assert cli.main(["bench", *(argument.format(folder=tmp_path) for argument in arguments)]) == 2
    assert said in capsys.readouterr().err
    assert (tmp_path / "page.md").read_text() == "no place for a table\n"


def test_an_option_that_is_given_again_adds_to_the_first():
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    args = parser.parse_args("--clips a --clips b c --only cpu --only gpu --from d --from e".split())
    assert args.clips == [Path("a"), Path("b"), Path("c")] and args.only == ["cpu", "gpu"]
    assert args.earlier == [Path("d"), Path("e")]


@pytest.mark.parametrize("arguments", [["--threads", "0"], ["--tolerance", "-1"], ["--tolerance", "much"]])
def test_a_number_out_of_range_is_refused(arguments):
    with pytest.raises(SystemExit) as exit:
        cli.main(["bench", *arguments])
    assert exit.value.code == 2
