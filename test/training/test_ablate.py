"""Ablations: variants differ by their flags alone, trainings are shared and not repeated, the table is of real runs."""

import json

import pytest

from tpf_training.cli import main
from tpf_training.commands import ablate
from tpf_training.commands.ablate import table
from tpf_training.evaluation.evaluate import evaluate

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


def test_the_table_shows_mean_and_spread():
    rows = {"pfa": [{"sr": value, "pr": 0.5, "npr": 0.25, "kept": 1.0} for value in (0.5, 0.6)]}
    assert table(rows).splitlines()[2] == "| pfa | 55.0 ± 7.1 | 50.0 ± 0.0 | 25.0 ± 0.0 | 100.0 ± 0.0 | 2 |"


def test_a_plan_that_cannot_work_says_why(tmp_path, capfd):
    plan = tmp_path / "plan.yaml"
    for change, message in (("pfa: {mad: true}", "mad"), ("pfa: {finetun: []}", "'finetun'.*'finetune'")):
        plan.write_text(f"folder: x\nclips: [y]\nvariants:\n  {change}\nfinetune: {{data: {{root: z}}}}\n")
        with pytest.raises(SystemExit, match=message):
            main(["ablate", str(plan)])


def test_a_variant_that_cannot_work_is_found_before_the_first_training(data_root, tmp_path):
    plan, folder = tmp_path / "plan.yaml", tmp_path / "ablation"
    text = PLAN.format(folder=folder, data=data_root).replace("pfa: {}", "pfa: {finetune: [optimiser.hed=1]}")
    plan.write_text(text)
    with pytest.raises(SystemExit, match="variant 'pfa', finetune: .*'hed'.*'head'"):
        main(["ablate", str(plan)])
    assert not folder.exists()
