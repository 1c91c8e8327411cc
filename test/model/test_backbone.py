"""Our one-stream encoder computes what timm's ViT does with the same weights and the same tokens."""

import pytest
import timm
import torch
from safetensors.torch import save_file
from timm.layers import resample_abs_pos_embed

from tpf_model.backbone import attend
from tpf_model.config import ModelConfig
from tpf_model.cpu import multiplies_in_bfloat16
from tpf_model.network import TPFNetwork
from tpf_model.runtime.packed_linear import pack_linear_layers
from tpf_model.runtime.precision import products_in, reduce_precision
from tpf_model.weights import load_network
from tpf_training.initial_weights import load_initial_weights


def timm_reference() -> torch.nn.Module:
    torch.manual_seed(0)
    reference = timm.create_model("vit_tiny_patch16_224", img_size=256, init_values=0.3, num_classes=0).eval()
    for parameter in reference.parameters():  # timm starts biases and scales at constants, which would hide mix-ups
        parameter.data += 0.02 * torch.randn_like(parameter)
    return reference


def one_stream_of_timms_parts(reference, template, dynamic, search):
    positions = reference.pos_embed
    of_template = resample_abs_pos_embed(positions, [8, 8])[:, 1:]
    tokens = [
        (reference.cls_token + positions[:, :1]).expand(len(search), -1, -1),
        reference.patch_embed.proj(template).flatten(2).mT + of_template,
        reference.patch_embed.proj(dynamic).flatten(2).mT + of_template,
        reference.patch_embed(search) + positions[:, 1:],
    ]
    return reference.norm(reference.blocks(torch.cat(tokens, dim=1)))[:, -search.shape[-1] ** 2 // 256 :]


@torch.no_grad()
def test_features_equal_timms(tmp_path):
    reference = timm_reference()
    save_file(reference.state_dict(), tmp_path / "vit.safetensors")
    network = TPFNetwork(ModelConfig("test", width=192, depth=12, heads=3, head_channels=16, fusion="addition")).eval()
    assert not load_initial_weights(network, tmp_path / "vit.safetensors").unused
    crops = torch.rand(2, 3, 128, 128), torch.rand(2, 3, 128, 128), torch.rand(2, 3, 256, 256)
    expected = one_stream_of_timms_parts(reference, *crops)
    torch.testing.assert_close(network.encoder(*crops), expected, rtol=1e-4, atol=1e-4)


@torch.no_grad()
def test_a_folded_encoder_is_the_same_function():
    encoder = load_network("tiny")[0].encoder.double()
    crops = [torch.rand(2, 3, side, side, dtype=torch.float64) for side in (128, 128, 256)]
    expected = encoder(*crops)
    encoder.fold()
    torch.testing.assert_close(encoder(*crops), expected)


@torch.no_grad()
@pytest.mark.skipif(not multiplies_in_bfloat16(), reason="this CPU does not multiply in bfloat16")
def test_packed_layers_are_the_same_function():
    torch.manual_seed(0)
    network, _ = load_network("tiny")
    crops = torch.rand(1, 3, 128, 128), torch.rand(1, 3, 128, 128), torch.rand(1, 3, 256, 256)
    expected = network.encoder(*crops)
    network.encoder.fold()
    reduce_precision(network, torch.bfloat16)
    pack_linear_layers(network.encoder)
    with products_in(torch.bfloat16, torch.device("cpu")):
        found = network.encoder(*crops)
    assert (found - expected).norm() < 0.005 * expected.norm()


@torch.no_grad()
def test_what_all_keys_have_in_common_does_not_cost_bfloat16_its_accuracy():
    torch.manual_seed(0)
    network, _ = load_network("tiny")
    encoder = network.encoder
    for block in encoder.blocks:
        block.attn.qkv.bias[192:384] += 100 * torch.randn(192)
    crops = torch.rand(1, 3, 128, 128), torch.rand(1, 3, 128, 128), torch.rand(1, 3, 256, 256)
    expected = encoder(*crops)
    encoder.fold()
    reduce_precision(network, torch.bfloat16)
    with products_in(torch.bfloat16, torch.device("cpu")):
        found = encoder(*crops)
    assert (found - expected).norm() < 0.005 * expected.norm()


def test_attention_that_learns_in_bfloat16_has_the_gradients_of_float32():
    torch.manual_seed(0)
    tokens = torch.randn(3, 2, 3, 384, 64)
    tokens[1] += 30 * torch.randn(64)  # as keys of DINOv2 have it: most of a key is the same in all of them
    found, wanted = tokens.bfloat16(), tokens.bfloat16().float()
    found, wanted = ([x.clone().requires_grad_() for x in leaves] for leaves in (found, wanted))
    for leaves in (wanted, found):
        attend(*leaves, scale=0.125).square().sum().backward()
    for ours, exact in zip(found, wanted):
        assert (ours.grad - exact.grad).norm() < 0.05 * exact.grad.norm()
