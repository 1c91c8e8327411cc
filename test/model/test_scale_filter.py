"""The scale filter, over textures whose size is known."""

import pytest
import torch
import torch.nn.functional as F
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from tpf_model.scale_filter import first_scale_filter, no_scale, sizes_of

SIZE = 256
SIDES = torch.tensor((56 / SIZE, 80 / SIZE))


@pytest.fixture
def texture():
    """A target of 112 x 160 pixels, to be shown at half of that, coarse enough for that."""
    generator = torch.Generator().manual_seed(3)
    coarse = torch.rand(1, 3, 20, 14, generator=generator)
    return F.interpolate(coarse, (160, 112), mode="bicubic").clamp(0, 1)


def seen(texture, scale, place=(128, 128), sides=SIDES, off=(0, 0)):
    """`sizes_of` a crop in which the target, SIDES times `scale`, is at `place`; it is sought `off` pixels beside."""
    crop = torch.full((3, SIZE, SIZE), 0.4)
    height, width = round(80 * scale), round(56 * scale)
    left, top = place[0] - width // 2, place[1] - height // 2
    shown = F.interpolate(texture, (height, width), mode="bilinear", antialias=True)
    crop[:, top : top + height, left : left + width] = shown
    centre = torch.tensor((left + width / 2 + off[0], top + height / 2 + off[1])) / SIZE
    box = torch.cat((centre - 0.1, torch.tensor((0.2, 0.2))))  # whose own sides are not asked
    return sizes_of(crop, box, sides)


def followed(learnt, texture, scale, frames, **arguments):
    """The size, against the true one, that one ends with who follows the scale from frame to frame."""
    size = 1.0
    for _ in range(frames):
        size *= float(learnt.scale(seen(texture, scale, sides=SIDES * size, **arguments)))
    return size / scale


def test_the_size_that_was_learnt_is_the_right_one(texture):
    learnt = first_scale_filter(seen(texture, 1))
    assert float(learnt.scale(seen(texture, 1))) == pytest.approx(1, abs=0.003)


@pytest.mark.parametrize("scale", [0.9, 0.95, 1.05, 1.1])
def test_a_target_of_another_size_is_followed_to_it(texture, scale):
    learnt = first_scale_filter(seen(texture, 1))
    at_once = float(learnt.scale(seen(texture, scale)))
    assert 0.3 < (at_once - 1) / (scale - 1) < 1.2
    assert followed(learnt, texture, scale, 6) == pytest.approx(1, abs=0.015)


def test_place_and_a_small_error_of_it_do_not_matter(texture):
    learnt = first_scale_filter(seen(texture, 1))
    assert followed(learnt, texture, 1.06, 6, place=(90, 150), off=(1, 1)) == pytest.approx(1, abs=0.015)


@pytest.mark.parametrize("rate", [0.0, 0.25, 1.0])
def test_a_new_image_counts_the_rate_against_all_before_it(texture, rate):
    other = seen(texture.square() / 2, 1)
    old, new = first_scale_filter(seen(texture, 1)), first_scale_filter(other)
    learnt = old.learn(other, torch.tensor(1.0), torch.tensor(rate, dtype=torch.float64))
    for part in ("numerator", "denominator"):
        before, now = getattr(old, part), getattr(new, part)
        assert (now - before).abs().max() > 0.1 * before.abs().max()
        wanted = (1 - rate) * before + rate * now
        assert (getattr(learnt, part) - wanted).abs().max() < 1e-5 * before.abs().max()


def test_a_target_that_changes_is_learnt_at_the_rate_at_the_size_it_has(texture):
    other = texture.flip(3)
    learnt = first_scale_filter(seen(texture, 1))
    for _ in range(60):
        learnt = learnt.learn(seen(other, 1.08), *map(torch.tensor, (1.08, 0.1)))
    assert float(learnt.scale(seen(other, 1.08))) == pytest.approx(1.08, abs=0.01)
    unchanged = first_scale_filter(seen(texture, 1)).learn(seen(other, 1.08), *map(torch.tensor, (1.08, 0.0)))
    assert followed(unchanged, texture, 1.06, 6) == pytest.approx(1, abs=0.015)


def test_in_pytorch_2_4_too_a_filter_on_a_gpu_learns_at_a_rate_on_the_cpu():
    """On tensors without values. Its `lerp` raises an error for two devices, that of later versions does not."""

    class OfPyTorch24(TorchDispatchMode):
        def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
            places = {x.device for x in args if isinstance(x, torch.Tensor)}
            assert operation is not torch.ops.aten.lerp.Tensor or len(places) == 1
            return operation(*args, **(kwargs or {}))

    with FakeTensorMode(allow_non_fake_inputs=True), OfPyTorch24():
        known = no_scale(torch.device("cuda"))
        learnt = known.learn(known.numerator, torch.tensor(1.1), torch.tensor(0.1, dtype=torch.float64))
    for old, new in ((known.numerator, learnt.numerator), (known.denominator, learnt.denominator)):
        assert (new.device, new.dtype, new.shape) == (old.device, old.dtype, old.shape)


def test_where_there_is_nothing_to_see_the_size_stays(texture):
    blank = torch.full((3, SIZE, SIZE), 0.4)
    nothing = sizes_of(blank, torch.tensor((0.4, 0.4, 0.2, 0.2)), SIDES)
    learnt = first_scale_filter(seen(texture, 1))
    of_nothing, without, larger = first_scale_filter(nothing), no_scale(torch.device("cpu")), seen(texture, 1.1)
    said = learnt.scale(nothing), of_nothing.scale(larger), without.scale(larger)
    assert [float(scale) for scale in said] == pytest.approx([1, 1, 1], abs=0.005)
    assert float(of_nothing.scale(nothing)) == pytest.approx(1, abs=1e-4)


def test_copy_takes_over_the_values_in_place(texture):
    learnt, place = first_scale_filter(seen(texture, 1)), no_scale(torch.device("cpu"))
    numerator, denominator = place.numerator, place.denominator
    place.copy_(learnt)
    assert place.numerator is numerator and place.denominator is denominator
    assert place.scale(seen(texture, 1.1)) == learnt.scale(seen(texture, 1.1))
