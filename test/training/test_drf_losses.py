"""Repulsion and reconstruction: their values on hand-made inputs, and which way they push."""

import pytest
import torch

from tpf_training.drf.decoder import Decoder
from tpf_training.losses.reconstruction import reconstruction_loss
from tpf_training.losses.repulsion import repulsion_loss

TASK = torch.tensor([[[1.0, 0.0], [0.0, 2.0], [3.0, 0.0], [1.0, 1.0]]])
IRRELEVANT = torch.tensor([[[5.0, 0.0], [1.0, 0.0], [-1.0, 0.0], [0.0, 4.0]]])  # cosines 1, 0, -1, sqrt(1/2)


def test_repulsion_is_the_mean_cosine_above_the_margin():
    assert repulsion_loss(TASK, IRRELEVANT).item() == pytest.approx((1 + 0 + 0 + 0.5**0.5) / 4)
    assert repulsion_loss(TASK, IRRELEVANT, 0.2).item() == pytest.approx((0.8 + 0 + 0 + 0.5**0.5 - 0.2) / 4)
    assert repulsion_loss(TASK, IRRELEVANT, -0.5).item() == pytest.approx((1.5 + 0.5 + 0 + 0.5**0.5 + 0.5) / 4)


def test_repulsion_is_float32_under_autocast():
    with torch.autocast("cpu", torch.bfloat16):
        loss = repulsion_loss(TASK.bfloat16(), IRRELEVANT.bfloat16())
    assert loss.dtype == torch.float32


def test_repulsion_pushes_both_apart_and_leaves_what_is_apart():
    task, irrelevant = TASK.clone().requires_grad_(), IRRELEVANT.clone().requires_grad_()
    repulsion_loss(task, irrelevant).backward()
    assert task.grad[0, 3, 1] > 0 > task.grad[0, 3, 0]  # (1, 1) turns away from (0, 4) ...
    assert irrelevant.grad[0, 3, 0] > 0  # ... and (0, 4) from (1, 1)
    assert not task.grad[0, 2].any() and not irrelevant.grad[0, 2].any()


def test_reconstruction_is_the_mean_squared_error():
    image = torch.zeros(1, 3, 2, 2)
    other = image.clone()
    other[0, 0, 0, 0] = 3
    assert reconstruction_loss(other, image).item() == pytest.approx(9 / 12)
    assert reconstruction_loss(image, image) == 0


def test_each_token_decodes_to_its_own_patch():
    decoder = Decoder(features=8, cells=4, patch=16, width=32, depth=1)
    decoder.blocks = torch.nn.ModuleList()  # without attention a token knows nothing of the others
    features = torch.rand(1, 16, 8)
    before = decoder(features)
    features[0, 7] += 1  # row 1, column 3
    changed = (decoder(features) != before)[0].any(dim=0)
    assert before.shape == (1, 3, 64, 64)
    assert changed[16:32, 48:].all() and changed.sum() == 16 * 16
