"""Our one-stream encoder computes what timm's ViT does with the same weights and the same tokens."""

import pytest
import timm
import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from timm.layers import resample_abs_pos_embed

from tpf_model.backbone import attend
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
@pytest.mark.parametrize("common", [0, 4], ids=["keys around 0", "keys around 4"])
def test_attention_in_bfloat16_is_that_in_float64(common):
    torch.manual_seed(0)
    query, key, value = torch.randn(3, 1, 3, 385, 64)
    query, key, value = 2 * query.bfloat16(), (key + common).bfloat16(), value.bfloat16()
    found = attend(query, key, value, 0.125)
    expected = F.scaled_dot_product_attention(query.double(), key.double(), value.double(), scale=0.125)
    assert found.dtype is torch.bfloat16
    assert (found - expected).square().mean() < (0.01 * expected).square().mean()
