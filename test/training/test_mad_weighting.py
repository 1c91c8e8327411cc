"""Targets, weights and loss of MAD."""

import cv2
import numpy as np
import pytest
import torch
from torch import nn

from tpf_model.fusion import PixelFusionAdapter
from tpf_model.head import Prediction
from tpf_model.weights import load_network
from tpf_training.losses.distillation import distillation_loss
from tpf_training.mad.targets import fused_targets
from tpf_training.mad.weighting import ExpertWeighting, tracker_overlaps

EXPERTS = ["first", "second", "third"]


def test_a_target_has_the_experts_luminance_and_the_visible_images_chroma():
    torch.manual_seed(0)
    visible = torch.rand(2, 3, 16, 16) * 0.2 + 0.4
    experts = torch.rand(2, 3, 16, 16) * 0.2 + 0.4
    targets = fused_targets(experts, visible)
    assert targets.shape == (2, 3, 3, 16, 16)
    original = cv2.cvtColor(visible[1].permute(1, 2, 0).numpy(), cv2.COLOR_RGB2YCrCb)
    ycrcb = cv2.cvtColor(targets[1, 2].permute(1, 2, 0).numpy(), cv2.COLOR_RGB2YCrCb)
    np.testing.assert_allclose(ycrcb[..., 0], experts[1, 2], atol=1e-5)
    np.testing.assert_allclose(ycrcb[..., 1:], original[..., 1:], atol=1e-5)


def test_a_target_stays_in_range_and_is_the_visible_image_where_luminance_agrees():
    visible = torch.tensor([1.0, 0.0, 0.5]).view(1, 3, 1, 1)
    luminance = 0.299 + 0.5 * 0.114
    targets = fused_targets(torch.tensor([luminance, 0.0, 1.0]).view(1, 3, 1, 1), visible)[0, ..., 0, 0]
    torch.testing.assert_close(targets[0], visible.flatten())
    assert targets.min() >= 0 and targets.max() <= 1


class FixedTracker(nn.Module):
    """Finds a box that depends on nothing but how bright the search crop is: x = brightness."""

    def __init__(self):
        super().__init__()
        self.norm = nn.BatchNorm2d(3)

    def forward(self, template, dynamic, search):
        assert template is dynamic and not self.training and not self.norm.training
        batch, cells = len(search), 8
        score = torch.full((batch, 1, cells, cells), 0.1)
        score[:, :, 4, 4] = 0.9
        offset = torch.zeros(batch, 2, cells, cells)
        offset[:, 0] = search.mean(dim=(1, 2, 3)).view(-1, 1, 1) * cells - 4 + 1  # centre of a box 0.25 wide at x
        return Prediction(score, torch.full((batch, 2, cells, cells), 0.25), offset)


def crops(values):
    """Template and search crops (B, K, 3, s, s) of the given brightness (B, K)."""
    values = torch.tensor(values).view(len(values), -1, 1, 1, 1)
    return values.expand(-1, -1, 3, 8, 8), values.expand(-1, -1, 3, 16, 16)


BOXES = torch.tensor([[0.25, 0.375, 0.25, 0.25], [0.5, 0.375, 0.25, 0.25]])
BRIGHTNESS = [[0.25, 0.375, 0.75], [0.0, 0.5, 0.625]]
OVERLAPS = torch.tensor([[1.0, 1 / 3, 0.0], [0.0, 1.0, 1 / 3]])


def test_overlaps_are_those_of_the_peaks_boxes_of_each_expert_of_each_sample():
    tracker = FixedTracker().eval()
    torch.testing.assert_close(tracker_overlaps(tracker, *crops(BRIGHTNESS), BOXES), OVERLAPS)


def test_adaptive_weights_sum_to_1_and_rise_with_the_overlap():
    for temperature in (1.0, 0.2):
        weighting = ExpertWeighting(EXPERTS, "adaptive", FixedTracker(), temperature).train()
        weights = weighting(*crops(BRIGHTNESS), BOXES)
        torch.testing.assert_close(weights, torch.softmax(OVERLAPS / temperature, dim=1))
        torch.testing.assert_close(weights.sum(dim=1), torch.ones(2))
        assert (weights.argsort(dim=1) == OVERLAPS.argsort(dim=1)).all()
        assert not weights.requires_grad


def test_equal_and_single_expert_weights():
    arguments = *crops(BRIGHTNESS), BOXES
    torch.testing.assert_close(ExpertWeighting(EXPERTS, "equal")(*arguments), torch.full((2, 3), 1 / 3))
    single = ExpertWeighting(EXPERTS, "second")(*arguments)
    torch.testing.assert_close(single, torch.tensor([[0.0, 1.0, 0.0]] * 2))


def test_a_weighting_that_cannot_be_is_told():
    with pytest.raises(ValueError, match="weighting has an unknown name 'secnd'; did you mean 'second'"):
        ExpertWeighting(EXPERTS, "secnd")
    with pytest.raises(ValueError, match="'adaptive' needs an auxiliary tracker"):
        ExpertWeighting(EXPERTS, "adaptive")
    with pytest.raises(ValueError, match="'equal' uses no auxiliary tracker"):
        ExpertWeighting(EXPERTS, "equal", FixedTracker())


def test_the_auxiliary_tracker_is_a_frozen_network():
    network, _ = load_network("tiny", "random")
    weighting = ExpertWeighting(["a", "b"], "adaptive", network).train()
    template, search = torch.rand(1, 2, 3, 128, 128), torch.rand(1, 2, 3, 256, 256)
    weights = weighting(template, search, torch.tensor([[0.4, 0.4, 0.2, 0.2]]))
    assert weights.shape == (1, 2) and weights.sum().item() == pytest.approx(1)
    assert not network.training and not any(parameter.requires_grad for parameter in network.parameters())


def test_the_loss_is_the_weighted_distance_from_each_expert():
    fused = torch.zeros(2, 3, 4, 4)
    targets = torch.tensor([0.1, 0.5]).view(1, 2, 1, 1, 1).expand(2, 2, 3, 4, 4)
    weights = torch.tensor([[1.0, 0.0], [0.5, 0.5]])
    assert distillation_loss(fused, targets, weights).item() == pytest.approx((0.1 + 0.3) / 2)
    squared = distillation_loss(fused, targets, weights, "l2").item()
    assert squared == pytest.approx((0.01 + 0.13) / 2)


def test_an_adapter_that_is_distilled_on_one_batch_becomes_its_expert():
    torch.manual_seed(0)
    low = torch.rand(2, 4, 5, 5)
    visible, thermal = nn.functional.interpolate(low, (12, 12), mode="bilinear").split([3, 1], dim=1)
    thermal = thermal.expand(-1, 3, -1, -1)
    luminance = (visible * torch.tensor([0.299, 0.587, 0.114]).view(1, 3, 1, 1)).sum(1, keepdim=True)
    targets = fused_targets(torch.maximum(luminance, thermal[:, :1]), visible)
    weights = torch.ones(2, 1)
    adapter = PixelFusionAdapter(token_stride=1)
    start = distillation_loss(adapter(visible, thermal), targets, weights).item()
    steps = 180
    optimiser = torch.optim.AdamW(adapter.parameters(), lr=1e-2)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    for _ in range(steps):
        loss = distillation_loss(adapter(visible, thermal), targets, weights)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
    assert start > 0.08 and loss.item() < 0.012
