"""What is learnt of a target: that both filters take it for where, and as large as, its box says."""

import pytest
import torch
import torch.nn.functional as F
from tpf_model.appearance import first_appearance, no_appearance
from tpf_model.correlation_filter import response_at, spectrum_of
from tpf_model.scale_filter import sizes_of

SIZE = 256


def shown(scale, x=128, y=128):
    """A fused crop with a target of 56 x 80 pixels times `scale` in its middle, or elsewhere, and its box."""
    coarse = torch.rand(1, 3, 20, 14, generator=torch.Generator().manual_seed(3))
    height, width = round(80 * scale), round(56 * scale)
    crop = torch.full((3, SIZE, SIZE), 0.4)
    left, top = x - width // 2, y - height // 2
    crop[:, top : top + height, left : left + width] = F.interpolate(coarse, (height, width), mode="bilinear")
    return crop, tuple(value / SIZE for value in (left, top, width, height))


def test_a_target_is_learnt_where_and_as_large_as_its_box_says():
    crop, box = shown(1)
    known = first_appearance(crop, box)
    moved, new_box = shown(1.1, 150, 110)
    place = torch.tensor(new_box)
    sizes = sizes_of(moved, place, known.sides)  # it is larger than it was known to be
    learnt = known.learn(spectrum_of(moved), sizes, place.double(), torch.tensor(1.0))
    assert response_at(place, learnt.correlation_filter.respond(spectrum_of(moved))) > 0.65
    assert float(learnt.scale_filter.scale(sizes)) == pytest.approx(1.1, abs=0.01)


def test_copy_takes_over_all_of_it_in_place():
    crop, box = shown(1)
    known, place = first_appearance(crop, box), no_appearance(SIZE, torch.device("cpu"))
    sides = place.sides
    place.copy_(known)
    assert place.sides is sides and place.sides.equal(torch.tensor(box[2:]))
    assert place.correlation_filter.transfer.equal(known.correlation_filter.transfer)
    assert place.scale_filter.numerator.equal(known.scale_filter.numerator)
