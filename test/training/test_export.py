"""Export: one file that the tracker loads, with its provenance and scores, and a card that a person can read."""

import json

import pytest
import torch

from tpf_model.weights import load_network, shipped_weights
from tpf_training.cli import main


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
