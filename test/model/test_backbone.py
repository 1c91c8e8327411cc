"""Our one-stream encoder computes what timm's ViT does with the same weights and the same tokens."""

import pytest
import timm
import torch
from safetensors.torch import save_file
from timm.layers import resample_abs_pos_embed

from tpf_model.backbone import Attention
from tpf_model.config import ModelConfig
from tpf_model.network import TPFNetwork
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
@pytest.mark.parametrize("keep", [0, 256])
def test_attention_in_bfloat16_is_that_in_float64(keep):
    torch.manual_seed(0)
    attention = Attention(192, 3).bfloat16()
    attention.qkv.weight.mul_(4)  # so that some tokens matter more than others
    tokens = torch.randn(2, 385, 192).bfloat16()
    found, expected = attention(tokens, keep), attention.double()(tokens.double(), keep)
    assert found.dtype is torch.bfloat16 and found.shape == (2, keep or 385, 192)
    error, mean = (found - expected).abs().max(), (expected - expected.mean(dim=1, keepdim=True)).abs().max()
    assert error < 0.02 * mean
