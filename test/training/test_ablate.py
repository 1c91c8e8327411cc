"""Ablations: variants differ by their flags alone, trainings are shared and not repeated, the table is of real runs."""

import json

import cv2
import numpy as np
import pytest

from tpf_training.cli import main
from tpf_training.commands import ablate
from tpf_training.commands.ablate import table
from tpf_training.evaluation.evaluate import evaluate
from tpf_training.evaluation.score import choose_benchmark, score_folders

PLAN = """
folder: {folder}
clips: [{data}/rgbt_video/walk]
frames: 6
seeds: [3]
variants:
  addition: {{finetune: [fusion=addition]}}
  pfa: {{}}
  pfa without ndtu: {{ndtu: false}}
finetune:
  model: tiny
  data: {{root: {data}, cache: {folder}/cache, sources: {{rgbt_video: {{weight: 1.0}}}}}}
  drf: {{enabled: false}}
  run: {{epochs: 1, samples_per_epoch: 1, batch: 1, workers: 0, accelerator: cpu, average: 0.0}}
"""


def test_a_plan_is_run_once_and_its_table_printed(data_root, tmp_path, capfd, monkeypatch):
    updated = []
    # The real evaluation, watched.
    monkeypatch.setattr(ablate, "evaluate", lambda *args: updated.append(args[2]) or evaluate(*args))
    plan, folder = tmp_path / "plan.yaml", tmp_path / "ablation"
    plan.write_text(PLAN.format(folder=folder, data=data_root))
    main(["ablate", str(plan)])
    printed = [line for line in capfd.readouterr().out.splitlines() if line.startswith("|")]
    assert [line.split("|")[1].strip() for line in printed[2:]] == ["addition", "pfa", "pfa without ndtu"]
    assert updated == [True, True, False]
    assert len(list(folder.glob("finetune_*/done"))) == 2  # tracking alone differs in the third
    rows = json.loads((folder / "table.json").read_text())
    assert all(0 <= value <= 1 for results in rows.values() for result in results for value in result.values())

    times = {path: path.stat().st_mtime_ns for path in folder.glob("finetune_*/*")}
    main(["ablate", str(plan)])
    assert {path: path.stat().st_mtime_ns for path in folder.glob("finetune_*/*")} == times


ON_LASHER = """
folder: {folder}
dataset: lasher
root: {root}
seeds: [3]
variants:
  pfa: {{}}
  pfa without ndtu: {{ndtu: false}}
"""


@pytest.fixture
def lasher(tmp_path):
    """Two sequences in the published layout."""
    for name in ("bus", "walk"):
        for part in ("visible", "infrared"):
            (tmp_path / "lasher" / name / part).mkdir(parents=True)
            for index in range(4):
                image = np.full((72, 96), 40, np.uint8)
                image[24:48, 10 + index : 26 + index] = 230
                cv2.imwrite(str(tmp_path / "lasher" / name / part / f"{part[0]}{index}.png"), image)
        (tmp_path / "lasher" / name / "init.txt").write_text("".join(f"{10 + i},24,16,24\n" for i in range(4)))
    return tmp_path / "lasher"


def test_a_plan_is_evaluated_on_a_benchmark_by_its_own_metrics(data_root, lasher, tmp_path, capfd, monkeypatch):
    for name, value in (("PROCID", "1"), ("STEP_NUM_TASKS", "2"), ("LOCALID", "1")):
        monkeypatch.setenv(f"SLURM_{name}", value)  # a share of the sequences would be no table
    plan, folder = tmp_path / "plan.yaml", tmp_path / "ablation"
    text = ON_LASHER + PLAN[PLAN.index("finetune:\n") :]
    plan.write_text(text.format(folder=folder, data=data_root, root=lasher))
    main(["ablate", str(plan)])
    lines = (folder / "table.md").read_text().splitlines()
    assert lines[0] == "| variant | PR | NPR | NPR-AUC | SR | seeds |"
    (trained,) = folder.glob("finetune_*/done")
    shown = {}
    for name, template in (("pfa", "ndtu"), ("pfa without ndtu", "fixed")):
        out = trained.parent / f"results_{template}_lasher_default"
        settings = json.loads((out / "run.json").read_text())["settings"]
        assert (settings["ndtu"], settings["published"]) == (template == "ndtu", True)
        report = score_folders(choose_benchmark("lasher"), lasher, None, {"ours": out}).report["trackers"]["ours"]
        shown[name] = [f"{100 * value:.1f}" for value in report["scores"].values()]
    assert [line.split(" | ") for line in lines[2:]] == [[f"| {name}", *shown[name], "1 |"] for name in shown]
    capfd.readouterr()

    main(["ablate", str(plan)])
    assert "2 of 2 sequences, 2 of them done before" in capfd.readouterr().err  # nothing is trained or run again
    (lasher / "walk/init.txt").write_text("10,24,16,24\n")
    with pytest.raises(SystemExit, match="of walk only the first box is known"):
        main(["ablate", str(plan), f"folder={tmp_path / 'other'}"])
    assert not (tmp_path / "other").exists()


def test_the_table_shows_mean_and_spread():
    rows = {"pfa": [{"sr": value, "pr": 0.5, "npr": 0.25, "kept": 1.0} for value in (0.5, 0.6)]}
    assert table(rows).splitlines()[2] == "| pfa | 55.0 ± 7.1 | 50.0 ± 0.0 | 25.0 ± 0.0 | 100.0 ± 0.0 | 2 |"


def test_a_plan_that_cannot_work_says_why(tmp_path):
    plan = tmp_path / "plan.yaml"
    for change, message in (("pfa: {mad: true}", "mad"), ("pfa: {finetun: []}", "'finetun'.*'finetune'")):
        plan.write_text(f"folder: x\nclips: [y]\nvariants:\n  {change}\nfinetune: {{data: {{root: z}}}}\n")
        with pytest.raises(SystemExit, match=message):
            main(["ablate", str(plan)])


@pytest.mark.parametrize(
    "given, message",
    [
        ([], "clips and dataset: exactly one of them must be given"),
        (["clips=[y]", "dataset=lasher", "root=z"], "clips and dataset: exactly one of them must be given"),
        (["dataset=lashr", "root=z"], "dataset has an unknown name 'lashr'; did you mean 'lasher'"),
        (["dataset=lasher"], "root is missing"),
        (["dataset=lasher", "root=z", "frames=6"], "frames has no effect with dataset"),
        (["clips=[y]", "sequences=list.txt"], "sequences has no effect with clips"),
        (["dataset=lasher", "root=no_such"], "no_such: no such folder"),
    ],
)
def test_what_a_plan_is_evaluated_on_must_be_clear(tmp_path, given, message):
    plan = tmp_path / "plan.yaml"
    plan.write_text(f"folder: {tmp_path / 'x'}\nvariants: {{pfa: {{}}}}\nfinetune: {{data: {{root: z}}}}\n")
    with pytest.raises(SystemExit, match=message):
        main(["ablate", str(plan), *given])


def test_a_variant_that_cannot_work_is_found_before_the_first_training(data_root, tmp_path):
    plan, folder = tmp_path / "plan.yaml", tmp_path / "ablation"
    text = PLAN.format(folder=folder, data=data_root).replace("pfa: {}", "pfa: {finetune: [optimiser.hed=1]}")
    plan.write_text(text)
    with pytest.raises(SystemExit, match="variant 'pfa', finetune: .*'hed'.*'head'"):
        main(["ablate", str(plan)])
    assert not folder.exists()
