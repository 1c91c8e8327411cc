"""Export: one file that the tracker loads, with its provenance and scores, and a card that a person can read."""

import json

import pytest
import torch

from tpf_model.weights import load_network, save_network, shipped_weights
from tpf_training.cli import main
from tpf_training.provenance import origin


def test_exported_weights_are_the_run_s_and_keep_their_scores(tmp_path):
    scores = tmp_path / "scores.json"
    scores.write_text(json.dumps({"small": {"sr": 0.5}}))
    out = tmp_path / "out.safetensors"
    main(["export", str(shipped_weights("small")), "--out", str(out), "--scores", str(scores)])
    network, provenance = load_network("small", out)
    original, before = load_network("small")
    torch.testing.assert_close(network.state_dict(), original.state_dict(), rtol=0, atol=0)
    assert provenance == before | {"scores": {"small": {"sr": 0.5}}}
    card = (tmp_path / "out.md").read_text()
    runs = [line.split(". ", 1)[1] for line in card.splitlines() if line[:1].isdigit()]
    assert len(runs) > 5 and len(set(runs)) == len(runs)
    for text in ("total 23.242 M", "CC0", "academic use", '"sr": 0.5', f"{out.stat().st_size / 1e6:.1f} MB"):
        assert text in card


def test_what_is_no_weights_file_is_refused(tmp_path):
    bad = tmp_path / "bad.safetensors"
    bad.write_bytes(b"no weights")
    with pytest.raises(SystemExit, match="bad.safetensors"):
        main(["export", str(bad), "--out", str(tmp_path / "out.safetensors")])
    with pytest.raises(SystemExit, match="must end in .safetensors"):
        main(["export", str(bad), "--out", str(tmp_path / "out.pth")])


def test_of_several_runs_the_mean_is_written_with_the_history_of_each(tmp_path):
    shipped, provenance = load_network("tiny")
    later = tmp_path / "later.safetensors"
    network, _ = load_network("tiny", "random")
    run = {"command": "tpf-train finetune", "step": 77, "settings": {"model": "tiny", "run": {"batch": 8, "seed": 5}}}
    data = {"rgbt_video": {"share": 1.0, "licence": "MIT"}}
    save_network(network, later, run | {"data": data, "start": {"weights": origin(shipped_weights("tiny"))}})
    out = tmp_path / "out.safetensors"
    main(["export", str(shipped_weights("tiny")), str(later), "--out", str(out)])
    mean, found = load_network("tiny", out)
    for name, tensor in mean.state_dict().items():
        if tensor.is_floating_point():
            expected = (shipped.state_dict()[name] + network.state_dict()[name].half().float()) / 2
            torch.testing.assert_close(tensor, expected, rtol=1e-3, atol=1e-4)
    share = provenance["data"]["rgbt_video"]["share"]
    assert found["data"]["rgbt_video"]["share"] == pytest.approx((share + 1) / 2, abs=1e-4)
    lines = [line for line in (tmp_path / "out.md").read_text().splitlines() if line[:1].isdigit()]
    assert "77 steps of 8 samples, seed 5" in lines[-2] and "the mean of (" in lines[-1] and "77 steps" in lines[-1]
    assert len({line.split(". ", 1)[1] for line in lines}) == len(lines)


def test_the_mean_is_of_one_model(tmp_path):
    paths = [str(shipped_weights(model)) for model in ("small", "tiny")]
    with pytest.raises(SystemExit, match=r"tiny.safetensors holds another model: .*width=192"):
        main(["export", *paths, "--out", str(tmp_path / "out.safetensors")])
