"""The task loss: targets where the field puts them, and minima where the truth is."""

import math

import pytest
import torch

from tpf_model.head import Prediction
from tpf_training.losses.box import box_losses, decode_boxes
from tpf_training.losses.focal import focal_loss, gaussian_map
from tpf_training.losses.task import task_loss

CELLS = 16
BOX = torch.tensor([[0.30, 0.40, 0.20, 0.30]])  # centre (0.40, 0.55): column 6, row 8


def exact_prediction(box: torch.Tensor) -> Prediction:
    """Every cell predicts `box`; the score is 1 at its centre's cell."""
    axis = torch.arange(CELLS, dtype=torch.float32)
    grid = torch.stack(torch.meshgrid(axis, axis, indexing="xy"))
    centre = (box[:, :2] + box[:, 2:] / 2)[:, :, None, None]
    size = box[:, 2:, None, None].expand(-1, -1, CELLS, CELLS).clone()
    score = torch.full((1, 1, CELLS, CELLS), 1e-4)
    score[0, 0, 8, 6] = 1 - 1e-4
    return Prediction(score, size, centre * CELLS - grid)


def test_the_map_peaks_at_the_centres_cell_and_falls_off_evenly():
    target = gaussian_map(BOX, CELLS)[0, 0]
    assert target[8, 6] == 1 and (target == 1).sum() == 1
    assert target[8, 5] == target[8, 7] == target[7, 6] < 1
    assert target[0, 0] < 1e-3


@pytest.mark.parametrize("cells, radius", [(2.5, 0), (4, 1), (8, 2), (12, 3)])
def test_the_gaussian_is_as_wide_as_ostracks(cells, radius):
    # What its code gives for square targets of so many cells; in its search crops they have 4.
    target = gaussian_map(torch.tensor([[0.4, 0.4, cells / CELLS, cells / CELLS]]), CELLS)[0, 0]
    row, column = divmod(int(target.argmax()), CELLS)
    sigma = (2 * radius + 1) / 6
    assert target[row, column + 1].item() == pytest.approx(math.exp(-1 / (2 * sigma**2)))


def test_the_cells_around_the_centre_learn_the_box_too():
    prediction = exact_prediction(BOX)
    prediction.size[..., 8, 7] += 0.1
    giou, l1, overlap = box_losses(prediction, BOX, gaussian_map(BOX, CELLS))
    assert giou > 0.01 and l1 > 1e-3 and overlap > 0.9999


def test_focal_loss_matches_its_formula():
    score = torch.tensor([[[[0.8, 0.3]]]])
    target = torch.tensor([[[[1.0, 0.5]]]])
    expected = -(0.2**2) * torch.tensor(0.8).log() - 0.3**2 * 0.5**4 * torch.tensor(0.7).log()
    assert focal_loss(score, target) == pytest.approx(expected.item())


def test_boxes_decode_to_what_was_encoded_and_cost_nothing():
    prediction = exact_prediction(BOX)
    torch.testing.assert_close(decode_boxes(prediction)[0, :, 8, 6], BOX[0])
    giou, l1, overlap = box_losses(prediction, BOX, gaussian_map(BOX, CELLS))
    assert giou < 1e-5 and l1 < 1e-6 and overlap > 0.9999


def test_disjoint_boxes_still_have_a_gradient():
    prediction = exact_prediction(BOX)
    offset = (prediction.offset + 8).requires_grad_()
    giou, _, overlap = box_losses(Prediction(prediction.score, prediction.size, offset), BOX, gaussian_map(BOX, CELLS))
    giou.backward()
    assert overlap == 0 and giou > 1 and offset.grad[0, 0].sum() > 0  # moving back towards the target lowers the loss


def test_the_whole_loss_is_least_at_the_truth():
    exact = task_loss(exact_prediction(BOX), BOX)[0]
    other = task_loss(exact_prediction(BOX), torch.tensor([[0.5, 0.5, 0.1, 0.1]]))[0]
    assert exact < 0.05 < other


def test_a_crop_without_the_target_teaches_a_low_score_and_no_box():
    absent = torch.full((1, 4), torch.nan)
    assert not gaussian_map(absent, CELLS).any()
    both = torch.cat([BOX, absent])
    maps = [torch.cat([m, m]).requires_grad_() for m in vars(exact_prediction(BOX)).values()]
    loss, parts = task_loss(Prediction(*maps), both)
    loss.backward()
    score, size, offset = (m.grad for m in maps)
    assert parts["iou"] > 0.9999 and torch.isfinite(loss)
    assert (score[1] > 0).all() and score[1, 0, 8, 6] > 1  # lower everywhere, most of all where it is high
    assert not size[1].any() and not offset[1].any()
    loss, parts = task_loss(exact_prediction(BOX), absent)
    assert torch.isfinite(loss) and parts["giou"] == parts["l1"] == 0
