"""The assembled network: its published size, the shapes it promises, and what each of its inputs means to it."""

import dataclasses

import pytest
import torch

from tpf_model.config import load_variant
from tpf_model.head import MergedHead
from tpf_model.network import TPFNetwork, count_parameters
from tpf_model.weights import load_network


def crops(config, batch: int = 1) -> list[torch.Tensor]:
    torch.manual_seed(0)
    sizes = config.template_size, config.template_size, config.search_size
    return [torch.rand(batch, 3, size, size) for size in sizes]


def test_base_has_the_published_size():
    counts = count_parameters(TPFNetwork(load_variant("base")))
    assert 14_200 <= counts["pfa"] <= 14_400
    assert 92_120_000 <= counts["total"] <= 92_140_000
    assert counts["total"] == counts["pfa"] + counts["encoder"] + counts["head"]


@torch.no_grad()
def test_maps_have_one_value_a_cell_and_stay_in_range():
    network = load_network("tiny", "random")[0]
    prediction = network(*crops(network.config, batch=2))
    assert prediction.score.shape == (2, 1, 16, 16)
    assert prediction.size.shape == prediction.offset.shape == (2, 2, 16, 16)
    for bounded in (prediction.score, prediction.size):
        assert bounded.min() >= 1e-4 and bounded.max() <= 1 - 1e-4


@torch.no_grad()
@pytest.mark.parametrize("changed", [0, 1, 2], ids=["template", "dynamic", "search"])
def test_every_crop_matters(changed):
    network = load_network("tiny", "random")[0]
    images = crops(network.config)
    before = network(*images).score
    images[changed] = images[changed].flip(-1)
    assert not torch.equal(network(*images).score, before)


@torch.no_grad()
def test_maps_are_rows_first():
    # Only the search crop's top right is looked at by a head that sees one cell, so only that cell may change.
    network = load_network("tiny", "random")[0]
    network.head.score = torch.nn.Conv2d(network.config.width, 1, 1)
    network.encoder.blocks = torch.nn.ModuleList()  # without attention a token knows nothing of the others
    images = crops(network.config)
    before = network(*images).score
    images[2][:, :, :16, -16:] = 1 - images[2][:, :, :16, -16:]
    changed = (network(*images).score != before)[0, 0]
    assert changed[0, 15] and changed.sum() == 1


def test_addition_is_the_mean_and_has_no_parameters():
    network = TPFNetwork(dataclasses.replace(load_variant("tiny"), fusion="addition"))
    assert count_parameters(network)["pfa"] == 0
    assert torch.allclose(network.fuse(torch.full((1, 3, 8, 8), 0.2), torch.full((1, 3, 8, 8), 0.6)), torch.tensor(0.4))


@torch.no_grad()
def test_a_head_with_folded_norms_and_one_of_merged_branches_are_the_same_function():
    network = load_network("tiny")[0].eval()
    features = network.encode(*crops(network.config))
    expected = network.predict(features)
    network.head.fold_norms()
    assert not any(isinstance(module, torch.nn.BatchNorm2d) for module in network.modules())
    for head in (network.head, MergedHead(network.head)):
        network.head = head
        found = network.predict(features)
        for name in ("score", "size", "offset"):
            torch.testing.assert_close(getattr(found, name), getattr(expected, name), rtol=1e-4, atol=1e-5)
