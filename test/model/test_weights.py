"""Weights files: what is saved comes back, and a file that cannot be used is refused by name."""

import dataclasses
import os

import pytest
import torch

from tpf_model.config import load_variant
from tpf_model.network import TPFNetwork
from tpf_model.weights import RANDOM, WeightsError, load_network, save_network, shipped_weights


@pytest.fixture
def saved(tmp_path):
    path = tmp_path / "some.safetensors"
    save_network(load_network("tiny", RANDOM)[0], path, {"data": "none", "step": 7})
    return path


def test_a_saved_network_comes_back_with_its_provenance(saved):
    original = load_network("tiny", RANDOM)[0]
    loaded, provenance = load_network("tiny", saved)
    assert provenance == {"data": "none", "step": 7}
    for (name, a), b in zip(original.state_dict().items(), loaded.state_dict().values()):
        torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-6, msg=name)  # float16 on disk
    assert not loaded.training and next(loaded.parameters()).dtype == torch.float32


def test_others_may_read_a_saved_file(saved):
    umask = os.umask(0)
    os.umask(umask)
    assert saved.stat().st_mode & 0o777 == 0o666 & ~umask


def test_random_weights_are_the_same_every_time_and_leave_the_generator_alone():
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    a, b = load_network("tiny", RANDOM)[0], load_network("tiny", RANDOM)[0]
    assert torch.rand(1) == expected
    assert all(torch.equal(x, y) for x, y in zip(a.parameters(), b.parameters()))


def test_the_shipped_weights_load_and_say_what_they_were_trained_on():
    network, provenance = load_network("small")
    assert network.config.name == "small"
    assert provenance["step"] > 0 and all("licence" in source for source in provenance["data"].values())


def test_an_unknown_model_is_named_with_the_known_ones():
    with pytest.raises(ValueError, match="unknown model 'smal'; known: base, small, tiny"):
        load_network("smal")


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(WeightsError, match="gone.safetensors does not exist"):
        load_network("tiny", tmp_path / "gone.safetensors")


def test_a_model_without_shipped_weights_says_so():
    assert not shipped_weights("base").exists()
    with pytest.raises(WeightsError, match="no weights ship for model 'base'"):
        load_network("base")


@pytest.mark.parametrize("damage", [lambda data: b"", lambda data: data[: len(data) // 2], lambda data: b"\0" * 64])
def test_a_damaged_file_is_named(saved, damage):
    saved.write_bytes(damage(saved.read_bytes()))
    with pytest.raises(WeightsError, match="some.safetensors is not a readable safetensors file"):
        load_network("tiny", saved)


def test_weights_that_are_not_numbers_are_refused(tmp_path):
    network = load_network("tiny", RANDOM)[0]
    network.head.score[0].weight.data[0, 0] = torch.nan
    save_network(network, tmp_path / "nan.safetensors", {})
    with pytest.raises(WeightsError, match=r"nan.safetensors is damaged: .* head\.score\.0\.weight"):
        load_network("tiny", tmp_path / "nan.safetensors")


def test_another_models_file_is_refused(saved):
    with pytest.raises(WeightsError, match=r"another model: .*width=192 \(model 'small' has 384\)"):
        load_network("small", saved)


def test_a_foreign_safetensors_file_is_refused(tmp_path):
    from safetensors.torch import save_file

    save_file({"x": torch.zeros(1)}, tmp_path / "x.safetensors")
    with pytest.raises(WeightsError, match="not saved by TPF"):
        load_network("tiny", tmp_path / "x.safetensors")


def test_missing_tensors_are_named(saved):
    from safetensors import safe_open
    from safetensors.torch import save_file

    with safe_open(saved, "pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys() if name != "encoder.norm.bias"}
        metadata = file.metadata()
    save_file(tensors, saved, metadata)
    with pytest.raises(WeightsError, match="encoder.norm.bias"):
        load_network("tiny", saved)


def test_a_file_says_which_network_it_holds(tmp_path):
    path = tmp_path / "some.safetensors"
    config = dataclasses.replace(load_variant("tiny"), fusion="addition")  # not one of the variants
    save_network(TPFNetwork(config), path, {"step": 1})
    network, provenance = load_network("auto", path, device="cuda")  # not the default model of any device
    assert network.config == config and provenance == {"step": 1}
    with pytest.raises(WeightsError, match="holds another model: fusion=addition"):
        load_network("tiny", path)


@pytest.mark.parametrize("weights", [None, RANDOM])
def test_without_a_file_the_device_decides_which_network_it_is(weights):
    for device, model in (("cpu", "tiny"), ("cuda:0", "small")):
        assert load_network(weights=weights, device=device)[0].config == load_variant(model)
    assert load_network(weights=weights)[0].config == load_variant("tiny")
