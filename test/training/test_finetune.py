"""Fine-tuning: it learns, it goes on where it stopped, and its weights say where they come from."""

import json

import numpy as np
import pytest
import torch
from safetensors import safe_open

from tpf_training.datasets.source_config import SourceConfig
from tpf_training.finetune import fuse_batch, parse_arguments, start_network, train, trainable_groups
from tpf_training.losses.task import task_loss
from tpf_training.sampling import DEFAULT_SOURCES, build_mixture, collate

ONLY_RGBT = [f"--source={name}=0" for name in DEFAULT_SOURCES if name != "rgbt_video"]


def arguments(data_root, run, *more):
    fixed = ["--model=tiny", "--fusion=addition", "--batch=2", "--device=cpu", "--no-amp", "--workers=0"]
    schedule = ["--warmup=4", "--decay=1", "--average=0.5", f"--cache={run.parent / 'cache'}"]
    return parse_arguments([f"--data={data_root}", f"--run={run}", *fixed, *schedule, *ONLY_RGBT, *more])


def read_provenance(path):
    with safe_open(path, framework="pt") as file:
        text = file.metadata()["provenance"]
    return json.loads(text), text


def test_a_run_that_was_interrupted_ends_with_the_same_weights(data_root, tmp_path):
    train(arguments(data_root, tmp_path / "through", "--steps=4"))
    train(arguments(data_root, tmp_path / "resumed", "--steps=2"))
    train(arguments(data_root, tmp_path / "resumed", "--steps=4", "--resume"))
    through, resumed = (torch.load(tmp_path / run / "state.pt") for run in ("through", "resumed"))
    assert through["step"] == resumed["step"] == 4
    for part in ("network", "average"):
        torch.testing.assert_close(resumed[part], through[part], rtol=0, atol=0)
    with pytest.raises(FileExistsError, match="--resume"):
        train(arguments(data_root, tmp_path / "resumed", "--steps=4"))


def test_weights_say_where_they_come_from(data_root, tmp_path):
    train(arguments(data_root, tmp_path / "first", "--steps=2"))
    first = tmp_path / "first/weights.safetensors"
    provenance, text = read_provenance(first)
    assert provenance["step"] == 2 and provenance["settings"]["batch"] == 2
    assert provenance["data"] == {"rgbt_video": {"share": 1.0, "licence": "M3SVD clips, MIT; boxes drawn for this project"}}
    assert provenance["start"] == {"weights": "random"}
    assert str(tmp_path) not in text and str(data_root) not in text

    train(arguments(data_root, tmp_path / "next", "--steps=1", f"--weights={first}"))
    later, _ = read_provenance(tmp_path / "next/weights.safetensors")
    assert later["start"]["weights"] == {"file": first.name, "provenance": provenance}  # the whole line of descent


@pytest.mark.parametrize("value", ["rgb=1", "rgb_video", "rgb_video=often", "rgb_video=-1"])
def test_a_source_that_is_unknown_or_has_no_weight_is_refused(data_root, tmp_path, capsys, value):
    with pytest.raises(SystemExit):
        arguments(data_root, tmp_path, f"--source={value}")
    assert repr(value) in capsys.readouterr().err


@pytest.mark.parametrize("rate", [0.0, 1e-3])
def test_the_fusion_adapter_learns_unless_its_rate_is_0(data_root, tmp_path, rate):
    options = arguments(data_root, tmp_path, "--fusion=pfa", f"--fusion-lr={rate}")
    network = start_network(options)[0].train()
    trainable_groups(network, options)
    channels = {"visible": 3, "thermal": 1}
    names = [(crop, camera) for crop in ("template", "dynamic", "search") for camera in channels]
    crops = {
        f"{crop}_{camera}": torch.randint(0, 256, (1, channels[camera], 64, 64), dtype=torch.uint8)
        for crop, camera in names
    }
    fused = fuse_batch(network, crops, torch.device("cpu"))
    assert all(image.requires_grad == bool(rate) for image in fused)
    if rate:
        sum(image.square().sum() for image in fused).backward()
        assert network.fusion.decoder.weight.grad.abs().max() > 0


def test_one_batch_is_learnt(data_root, tmp_path):
    torch.manual_seed(0)
    network = start_network(arguments(data_root, tmp_path))[0].train()
    mixture = build_mixture(data_root, {"rgbt_video": SourceConfig(1)})
    batch = collate([mixture.sample(np.random.default_rng(1), "rgbt_video")] * 2)
    optimiser = torch.optim.AdamW(network.parameters(), lr=1e-3)
    losses = []
    for _ in range(40):
        loss, parts = task_loss(network(*fuse_batch(network, batch, torch.device("cpu"))), batch["box"])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(parts["loss"])
    assert losses[-1] < losses[0] / 5
