"""A small network made of a larger one's weights."""

import dataclasses

import pytest
import torch

from tpf_model.config import load_variant
from tpf_model.network import TPFNetwork
from tpf_training.weight_selection import evenly, select_weights


@pytest.fixture(scope="module")
def networks():
    torch.manual_seed(0)
    return TPFNetwork(load_variant("tiny")), TPFNetwork(load_variant("small"))


def test_layers_heads_and_channels_are_those_of_the_larger_one(networks):
    tiny, small = networks
    select_weights(tiny, small)
    ours, theirs = tiny.encoder.blocks[-1].attn.qkv.weight, small.encoder.blocks[-1].attn.qkv.weight
    channels = evenly(192, 384)
    for part in range(3):  # queries, keys, values: heads 1, 3 and 5 of six
        for mine, head in enumerate((1, 3, 5)):
            expected = theirs[part * 384 + head * 64 : part * 384 + (head + 1) * 64][:, channels]
            torch.testing.assert_close(ours[part * 192 + mine * 64 : part * 192 + (mine + 1) * 64], expected)
    mine, kept = tiny.encoder.blocks[0].mlp.fc1.bias, small.encoder.blocks[1].mlp.fc1.bias[evenly(768, 1536)]
    torch.testing.assert_close(mine, kept)
    torch.testing.assert_close(tiny.fusion.state_dict(), small.fusion.state_dict())


def test_a_network_of_the_same_size_becomes_a_copy(networks):
    copy = TPFNetwork(load_variant("small"))
    select_weights(copy, networks[1])
    torch.testing.assert_close(copy.state_dict(), networks[1].state_dict())


def test_what_cannot_be_selected_is_refused(networks):
    tiny, small = networks
    with pytest.raises(ValueError, match="cannot select"):
        select_weights(small, tiny)
    narrow = TPFNetwork(dataclasses.replace(load_variant("tiny"), heads=6))
    with pytest.raises(ValueError, match="heads of unequal width"):
        select_weights(narrow, small)
