import math

import pytest
from tpf_model.boxes import clip_box, iou, moved_inside, validate_box

SIZE = (640, 480)


def test_a_box_comes_back_as_floats():
    box = validate_box([1, 2, 30, 40], SIZE)
    assert box == (1.0, 2.0, 30.0, 40.0)
    assert all(type(value) is float for value in box)


@pytest.mark.parametrize(
    "box", [(-20, -20, 30, 30), (630, 470, 100, 100), (-50, -50, 1000, 1000), (10.2, 10.2, 0.4, 0.4)]
)
def test_a_box_partly_inside_or_tiny_is_accepted(box):
    assert validate_box(box, SIZE) == box


@pytest.mark.parametrize(
    "box, reason",
    [
        ((1, 2, 3), "4 numbers"),
        ((math.nan, 2, 3, 4), "not finite"),
        ((1, 2, math.inf, 4), "not finite"),
        ((1, 2, 0, 4), "zero area"),
        ((1, 2, 3, -4), "zero area"),
        ((700, 10, 50, 50), "outside the 640x480 image"),
        ((-50, 10, 50, 50), "outside"),
        ((10, 479.5, 50, 50), "outside"),
    ],
)
def test_a_bad_box_is_refused_with_the_reason(box, reason):
    with pytest.raises(ValueError, match=reason):
        validate_box(box, SIZE)


def test_clipping_leaves_a_box_inside_alone():
    assert clip_box((100, 100, 50, 60), SIZE, margin=10) == (100, 100, 50, 60)


@pytest.mark.parametrize(
    "box",
    [
        (100, 100, 4, 4),
        (-200, 100, 50, 60),
        (700, 100, 50, 60),
        (100, -200, 50, 60),
        (100, 900, 50, 60),
        (-1e4, -1e4, 3e4, 3e4),
    ],
)
def test_a_clipped_box_keeps_the_margin_inside_the_image(box):
    x, y, w, h = clip_box(box, SIZE, margin=10)
    assert 0 <= x <= 630 and 0 <= y <= 470
    assert w >= 10 and h >= 10
    assert x + w <= 640 and y + h <= 480


def test_iou():
    assert iou((0, 0, 10, 10), (0, 0, 10, 10)) == 1
    assert iou((0, 0, 10, 10), (5, 0, 10, 10)) == pytest.approx(1 / 3)
    assert iou((0, 0, 10, 10), (10, 0, 10, 10)) == 0
    assert iou((0, 0, 10, 10), (0, 0, 0, 0)) == 0


@pytest.mark.parametrize(
    "box, inside",
    [
        ((100, 100, 50, 60), (100, 100, 50, 60)),
        ((-20, 100, 50, 60), (0, 100, 50, 60)),
        ((620, 470, 50, 60), (590, 420, 50, 60)),
        ((-20, -20, 700, 60), (0, 0, 700, 60)),
    ],
)
def test_a_box_that_is_moved_inside_keeps_its_size(box, inside):
    assert moved_inside(box, SIZE) == inside
