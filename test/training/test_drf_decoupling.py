"""Decoupling: of the published size, teaching what it should, learnable, and absent from the weights that ship."""

import pytest
import torch
from safetensors import safe_open

from tpf_model.config import ModelConfig, load_variant
from tpf_model.network import TPFNetwork, count_parameters
from tpf_model.weights import save_network
from tpf_training.drf.decoupling import Decoupling

SIZES = {"width": 64, "depth": 2, "heads": 2, "head_channels": 16, "template_size": 32, "search_size": 64}
TINY = ModelConfig("test", fusion="addition", **SIZES)
LOSSES = ["repulsion_visible", "reconstruction_visible", "repulsion_thermal", "reconstruction_thermal"]


def decoupling(**options):
    torch.manual_seed(1)
    return Decoupling(TINY, decoder_width=64, decoder_depth=2, **options)


def crops(seed):
    """One modality's smooth crops."""
    generator = torch.Generator().manual_seed(seed)
    return [
        torch.nn.functional.interpolate(torch.rand(2, 3, 4, 4, generator=generator), (size, size), mode="bilinear")
        for size in (TINY.template_size, TINY.template_size, TINY.search_size)
    ]


@pytest.fixture
def network():
    torch.manual_seed(0)
    return TPFNetwork(TINY).train()


def task_features(network, visible, thermal):
    return network.encode(*(network.fuse(v, t) for v, t in zip(visible, thermal)))


def parameters(module):
    return sum(p.numel() for p in module.parameters())


def test_base_has_the_published_size_at_train_and_at_test_time():
    with torch.device("meta"):
        network = TPFNetwork(load_variant("base"))
        branches = Decoupling(load_variant("base"))
    tracker = count_parameters(network)["total"]
    assert tracker == pytest.approx(92.136e6, rel=1e-3)
    assert tracker + parameters(branches) == pytest.approx(290.2e6, rel=0.005)


def test_what_ships_is_the_tracker_alone(tmp_path, network):
    branches = decoupling()
    visible, thermal = crops(2), crops(3)
    sum(branches.losses(task_features(network, visible, thermal), visible, thermal).values()).backward()
    save_network(network, tmp_path / "w.safetensors", {})
    with safe_open(tmp_path / "w.safetensors", framework="pt") as file:
        stored = {name: file.get_tensor(name).numel() for name in file.keys()}
    # Batch norm's statistics and position embeddings are stored without being parameters; mean and std (6) are not.
    statistics = sum(b.numel() for b in network.buffers() if b.dtype.is_floating_point) - 6
    assert sum(stored.values()) - statistics == parameters(network)


def test_auxiliary_encoders_start_as_the_trackers():
    network, branches = TPFNetwork(TINY).eval(), decoupling().eval()
    branches.start_from(network.encoder)
    visible, thermal = crops(2), crops(3)
    # Fused with itself, a modality is what its own branch sees: the same features, so a repulsion of exactly 1.
    losses = branches.losses(task_features(network, visible, visible), visible, thermal)
    assert losses["repulsion_visible"].item() == pytest.approx(1, abs=1e-5)
    assert losses["repulsion_thermal"] < 1
    # A copy, not shared parameters.
    torch.nn.init.normal_(branches.branches["visible"].encoder.patch_embed.proj.weight)
    assert branches.losses(task_features(network, visible, visible), visible, thermal)["repulsion_visible"] < 0.999


def test_each_modality_is_reconstructed_from_its_own_crops(network):
    branches = decoupling()
    visible, thermal = crops(2), crops(3)
    features = task_features(network, visible, thermal).detach()
    before = branches.losses(features, visible, thermal)
    after = branches.losses(features, visible, [1 - crop for crop in thermal])
    assert list(before) == LOSSES
    assert [after[name].item() != before[name].item() for name in LOSSES] == [False, False, True, True]


@pytest.mark.parametrize("loss", ["repulsion", "reconstruction"])
def test_each_loss_teaches_the_tracker_and_the_branches(network, loss):
    branches = decoupling(**{name: name == loss for name in ("repulsion", "reconstruction")})
    visible, thermal = crops(2), crops(3)
    losses = branches.losses(task_features(network, visible, thermal), visible, thermal)
    assert list(losses) == [f"{loss}_visible", f"{loss}_thermal"]
    sum(losses.values()).backward()
    assert all(p.grad is not None and p.grad.abs().max() > 0 for p in branches.parameters())
    assert all(p.grad.abs().max() > 0 for p in network.encoder.blocks.parameters())
    assert all(p.grad is None for p in network.head.parameters())


def test_the_fusion_learns_through_the_task_features():
    torch.manual_seed(0)
    network = TPFNetwork(ModelConfig(**{**TINY.to_dict(), "fusion": "pfa", "token_stride": 4}))
    visible, thermal = crops(2), crops(3)
    sum(decoupling().losses(task_features(network, visible, thermal), visible, thermal).values()).backward()
    assert network.fusion.decoder.weight.grad.abs().max() > 0


def test_a_switched_off_modality_has_no_branch_and_no_loss(network):
    branches = decoupling(thermal=False)
    visible, thermal = crops(2), crops(3)
    assert list(branches.losses(task_features(network, visible, thermal), visible, thermal)) == LOSSES[:2]
    assert parameters(branches) * 2 == parameters(decoupling())


def test_frozen_blocks_run_without_a_graph(network):
    branches = decoupling(frozen_blocks=1)
    branches.start_from(network.encoder)
    visible, thermal = crops(2), crops(3)
    needs_graph = []
    first, second = branches.branches["visible"].encoder.blocks
    for block in (first, second):
        block.register_forward_hook(lambda _, __, out: needs_graph.append(out.requires_grad))
    features = task_features(network, visible, thermal)
    sum(branches.losses(features, visible, thermal).values()).backward()
    assert needs_graph == [False, True]
    assert first.mlp.fc1.weight.grad is None and second.mlp.fc1.weight.grad.abs().max() > 0


def test_one_batch_is_learnt(network):
    branches = decoupling()
    branches.start_from(network.encoder)
    visible, thermal = crops(2), crops(3)
    optimiser = torch.optim.AdamW([*network.encoder.parameters(), *branches.parameters()], lr=2e-3)
    history = []
    for _ in range(100):
        losses = branches.losses(task_features(network, visible, thermal), visible, thermal)
        optimiser.zero_grad()
        sum(losses.values()).backward()
        optimiser.step()
        history.append({name: loss.item() for name, loss in losses.items()})
    for name in LOSSES:
        assert history[0][name] > 0.5 and history[-1][name] < 0.03, name
