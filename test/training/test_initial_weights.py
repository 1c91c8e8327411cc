"""Initial weights: each layout of published checkpoints ends up where it belongs, and a report says what did not."""

import argparse
import os
from collections import OrderedDict

import pytest
import torch
from safetensors.torch import save_file
from timm.layers import resample_abs_pos_embed
from timm.models.vision_transformer import VisionTransformer
from torch import nn

from tpf_model.config import ModelConfig
from tpf_model.network import TPFNetwork
from tpf_model.weights import WeightsError, save_network
from tpf_training.initial_weights import load_initial_weights

SIZES = {"width": 64, "depth": 2, "heads": 2, "head_channels": 16, "template_size": 32, "search_size": 64}
TINY = ModelConfig("test", token_stride=4, **SIZES)
HEAD_TENSORS = 3 * (4 * 6 + 2)  # a branch: four times convolution and batch norm (without its counter), one convolution


class Settings:
    """Like the objects that training programs pickle beside their weights."""

    def __init__(self):
        self.local_rank = -1


class Evil:
    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return os.system, (f"touch {self.marker}",)


class CallsBuiltin(Evil):
    def __reduce__(self):
        return exec, (f"open({str(self.marker)!r}, 'w')",)


def network(**changes):
    torch.manual_seed(1)
    return TPFNetwork(ModelConfig(**{**TINY.to_dict(), **changes})).eval()


def vit(embed_dim=64, depth=2, **options):
    """The tensors of timm's ViT."""
    torch.manual_seed(0)
    options = {"img_size": 64, "patch_size": 16, "num_classes": 10} | options
    model = VisionTransformer(embed_dim=embed_dim, depth=depth, num_heads=2, **options)
    return {name: tensor + 0.02 * torch.randn_like(tensor) for name, tensor in model.state_dict().items()}


def mae(classes=True):
    """A pretraining checkpoint: the encoder, a decoder, a program's arguments."""
    state = {name: tensor for name, tensor in vit().items() if not name.startswith("head.")}
    decoder = {f"decoder_blocks.{i}.attn.qkv.weight": torch.zeros(96, 32) for i in range(5)}
    state |= {"mask_token": torch.zeros(1, 1, 32), "decoder_pos_embed": torch.zeros(1, 17, 32)} | decoder
    return {"model": state, "args": argparse.Namespace(lr=1e-3), "epoch": 799, "optimizer": {"state": {}}}


class CentreHead(nn.Module):
    """OSTrack's head by its names, computed by going through them."""

    def __init__(self, width, channels):
        super().__init__()
        sizes = [width, channels, channels // 2, channels // 4, channels // 8]
        for branch, outputs in (("ctr", 1), ("size", 2), ("offset", 2)):
            for i in range(4):
                layers = nn.Conv2d(sizes[i], sizes[i + 1], 3, padding=1), nn.BatchNorm2d(sizes[i + 1]), nn.ReLU()
                self.add_module(f"conv{i + 1}_{branch}", nn.Sequential(*layers))
            self.add_module(f"conv5_{branch}", nn.Conv2d(sizes[4], outputs, 1))

    def forward(self, x, branch):
        for i in range(1, 6):
            x = getattr(self, f"conv{i}_{branch}")(x)
        return x


def ostrack(head, prefix=""):
    """A training checkpoint, with classes pickled beside the weights."""
    net = {f"{prefix}backbone.{name}": t for name, t in vit().items() if not name.startswith("head.")}
    net[f"{prefix}backbone.pos_embed_z"] = torch.randn(1, 4, 64)
    net[f"{prefix}backbone.pos_embed_x"] = torch.randn(1, 16, 64)
    net |= {f"{prefix}box_head.{name}": tensor for name, tensor in head.state_dict().items()}
    return {"epoch": 300, "net": net, "stats": OrderedDict(train=Settings()), "settings": Settings()}


def save(path, content):
    torch.save(content, path)
    return path


@pytest.mark.parametrize("wrap", [lambda s: s, lambda s: {"model": s}, lambda s: {"state_dict": s}])
def test_any_container_of_a_timm_vit_gives_the_same_encoder(tmp_path, wrap):
    save_file(vit(), tmp_path / "vit.safetensors")
    expected, actual = network(), network()
    load_initial_weights(expected, tmp_path / "vit.safetensors")
    report = load_initial_weights(actual, save(tmp_path / "vit.bin", wrap(vit())))
    torch.testing.assert_close(actual.state_dict(), expected.state_dict(), rtol=0, atol=0)
    assert torch.equal(actual.encoder.blocks[1].mlp.fc2.weight, vit()["blocks.1.mlp.fc2.weight"])
    assert report.unused == {"head.weight": (10, 64), "head.bias": (10,)}
    assert report.resampled == {"encoder.pos_template": ((1, 16, 64), (1, 4, 64))}
    assert all(name.startswith(("head.", "fusion.")) for name in report.missing)


def test_the_report_names_everything_once_and_says_it_in_a_few_lines(tmp_path):
    ours = network()
    report = load_initial_weights(ours, save(tmp_path / "dino.pth", vit(patch_size=8, init_values=0.1)))
    of_network = [*report.loaded, *report.resampled, *report.missing]
    assert sorted(of_network) == sorted(n for n in ours.state_dict() if not n.endswith("num_batches_tracked"))
    lines = str(report).splitlines()
    assert lines[0] == f"dino.pth: {len(report.loaded) + len(report.resampled)} tensors loaded"
    assert "  resampled: encoder.patch_embed.proj.weight 64x3x8x8 -> 64x3x16x16" in lines
    assert "  resampled: encoder.pos_search 1x64x64 -> 1x16x64" in lines
    assert "  unused in the file: head.weight 10x64" in lines
    assert f"  not in the file, kept as initialised: head.* ({HEAD_TENSORS} tensors)" in lines


def test_layer_scales_are_folded_into_the_layers_before_them(tmp_path):
    state, ours = vit(init_values=0.3), network()
    load_initial_weights(ours, save(tmp_path / "dino.pth", state))
    gamma, bias = state["blocks.0.ls1.gamma"], state["blocks.0.attn.proj.bias"]
    torch.testing.assert_close(ours.encoder.blocks[0].attn.proj.bias, gamma * bias)


def test_mae_leaves_its_decoder(tmp_path):
    ours = network()
    report = load_initial_weights(ours, save(tmp_path / "mae.pth", mae()))
    state = mae()["model"]
    torch.testing.assert_close(ours.encoder.pos_search, state["pos_embed"][:, 1:])
    torch.testing.assert_close(ours.encoder.cls_token, state["cls_token"] + state["pos_embed"][:, :1])
    assert set(report.unused) == {name for name in state if name.startswith(("decoder_", "mask_"))}
    assert "unused in the file: decoder_blocks.* (5 tensors)" in str(report)


def test_dropmae_has_no_class_token_and_an_embedding_of_each_image(tmp_path):
    checkpoint = mae()
    state = checkpoint["model"]
    del state["cls_token"]
    state["temporal_pos_embed_x"], state["temporal_pos_embed_z"] = torch.randn(2, 1, 1, 64)
    ours = network()
    token = ours.encoder.cls_token.clone()
    report = load_initial_weights(ours, save(tmp_path / "dropmae.pth", checkpoint))
    grid = state["pos_embed"][:, 1:]
    torch.testing.assert_close(ours.encoder.pos_search, grid + state["temporal_pos_embed_x"])
    small = resample_abs_pos_embed(grid, [2, 2], num_prefix_tokens=0)
    torch.testing.assert_close(ours.encoder.pos_template, small + state["temporal_pos_embed_z"])
    assert report.missing["encoder.cls_token"] == (1, 1, 64)
    assert torch.equal(ours.encoder.cls_token, token)
    assert not any("temporal" in name for name in report.unused if not name.startswith("decoder"))


@torch.no_grad()
@pytest.mark.parametrize("prefix", ["", "module."])
def test_ostrack_gives_encoder_and_head(tmp_path, prefix):
    torch.manual_seed(2)
    head = CentreHead(64, 16).eval()
    for buffer in head.buffers():
        buffer.copy_(torch.rand(buffer.shape) + 0.5)
    checkpoint, ours = ostrack(head, prefix), network()
    report = load_initial_weights(ours, save(tmp_path / "OSTrack_ep0300.pth.tar", checkpoint))
    assert torch.equal(ours.encoder.pos_template, checkpoint["net"][f"{prefix}backbone.pos_embed_z"])
    assert torch.equal(ours.encoder.pos_search, checkpoint["net"][f"{prefix}backbone.pos_embed_x"])
    features = torch.rand(1, 64, 4, 4)
    prediction = ours.head(features)
    torch.testing.assert_close(prediction.score, head(features, "ctr").sigmoid())
    torch.testing.assert_close(prediction.size, head(features, "size").sigmoid())
    torch.testing.assert_close(prediction.offset, head(features, "offset"))
    assert not report.unused and all(name.startswith("fusion.") for name in report.missing)


def test_a_head_of_another_width_is_left_out_as_a_whole(tmp_path):
    ours = network()
    before = {name: tensor.clone() for name, tensor in ours.head.state_dict().items()}
    report = load_initial_weights(ours, save(tmp_path / "ostrack.pth.tar", ostrack(CentreHead(64, 32))))
    torch.testing.assert_close(ours.head.state_dict(), before, rtol=0, atol=0)
    assert sum(name.startswith("head.") for name in report.missing) == HEAD_TENSORS
    assert report.unused["box_head.conv1_ctr.0.weight"] == (32, 64, 3, 3)


@pytest.mark.parametrize("token_stride", [4, 2])
def test_our_own_weights_give_all_that_fits(tmp_path, token_stride):
    torch.manual_seed(5)
    source = TPFNetwork(ModelConfig(**{**TINY.to_dict(), "search_size": 96}))
    nn.init.normal_(source.fusion.decoder.weight)
    save_network(source, tmp_path / "ours.safetensors", {})
    ours = network(token_stride=token_stride)
    report = load_initial_weights(ours, tmp_path / "ours.safetensors")
    assert report.resampled == {"encoder.pos_search": ((1, 36, 64), (1, 16, 64))}
    torch.testing.assert_close(ours.head.state_dict(), source.head.half().float().state_dict())
    same = token_stride == source.config.token_stride
    assert bool(ours.fusion.decoder.weight.any()) == same  # it starts at zero
    assert any(name.startswith("fusion.") for name in report.missing) != same


@pytest.mark.parametrize(
    "state, message",
    [
        (vit(embed_dim=192, depth=6), "width 192 and depth 6, .* width 64 and depth 2; it fits model tiny"),
        (vit(depth=3), "depth 3, .* depth 2; no model that ships"),
        ({"layer1.0.conv1.weight": torch.zeros(1)}, "one 'patch_embed.proj.weight'; it has none"),
        ({f"{n}.patch_embed.proj.weight": torch.zeros(1) for n in "ab"}, "several .a., b.."),
        ({k: v for k, v in vit().items() if k != "norm.weight"}, "it lacks norm.weight"),
        (vit() | {"blocks.0.attn.q_norm.weight": torch.ones(64)}, "its blocks have blocks.0.attn.q_norm.weight, too"),
        (vit() | {"pos_embed": torch.zeros(1, 18, 64)}, "pos_embed has 18 tokens"),
        (vit() | {"norm.weight": torch.full((64,), torch.nan)}, "not a number, or infinite, in encoder.norm.weight"),
        (vit() | {"norm.weight": torch.ones(32)}, r"norm.weight \(32,\), must be \(64,\)"),
        ({"weights": {"a": 1}, "epoch": 3}, r"no tensors by name, .*it holds \['weights', 'epoch'\]"),
    ],
)
def test_a_checkpoint_that_does_not_fit_is_an_error_that_says_why(tmp_path, state, message):
    with pytest.raises(WeightsError, match=message):
        load_initial_weights(network(), save(tmp_path / "some.pth", state))


def test_our_own_weights_of_other_heads_are_refused(tmp_path):
    save_network(network(heads=4), tmp_path / "ours.safetensors", {})
    with pytest.raises(WeightsError, match="ours.safetensors holds a ViT of 4 attention heads, the model's has 2"):
        load_initial_weights(network(), tmp_path / "ours.safetensors")


def test_what_is_no_checkpoint_is_an_error_that_says_what_to_do(tmp_path):
    with pytest.raises(WeightsError, match="none.pth does not exist"):
        load_initial_weights(network(), tmp_path / "none.pth")
    for name in ("text.pth", "empty.pth", "text.safetensors"):
        (tmp_path / name).write_text("" if name == "empty.pth" else "no weights")
        with pytest.raises(WeightsError, match=f"{name} (cannot be read|is not a readable)"):
            load_initial_weights(network(), tmp_path / name)
    # torch's old format with classes in it
    torch.save(ostrack(CentreHead(64, 16)), tmp_path / "old.pth.tar", _use_new_zipfile_serialization=False)
    with pytest.raises(WeightsError, match="(?s)Settings was not an allowed global.*weights_only=False"):
        load_initial_weights(network(), tmp_path / "old.pth.tar")


def test_code_in_a_checkpoint_is_not_run(tmp_path):
    marker = tmp_path / "ran"
    allowed = set(torch.serialization.get_safe_globals())
    with pytest.raises(WeightsError, match="posix.system whose module posix is blocked"):
        load_initial_weights(network(), save(tmp_path / "evil.pth", {"model": vit(), "args": Evil(marker)}))
    load_initial_weights(network(), save(tmp_path / "evil.pth", {"model": vit(), "args": CallsBuiltin(marker)}))
    assert not marker.exists()
    assert set(torch.serialization.get_safe_globals()) == allowed  # nor is it from then on
