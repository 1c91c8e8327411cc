import numpy as np
import pytest

from tpf_model.frame import Frame
from tpf_model.registration import Registration
from tpf_ros.drawing import STATE_COLOURS, draw_overlay, draw_pair

GREY = (90, 90, 90)


def grey(width: int, height: int) -> np.ndarray:
    return np.full((height, width, 3), GREY, np.uint8)


@pytest.mark.parametrize("size", [(80, 60), (640, 512), (1920, 1080)])
@pytest.mark.parametrize("state", STATE_COLOURS)
def test_the_box_is_drawn_in_the_states_colour_along_its_edges(size, state):
    width, height = size
    x, y, w, h = width // 2, height // 2, width // 4, height // 4
    image = grey(width, height)
    drawn = draw_overlay(image, (x, y, w, h), state, 0.5)
    assert (image == GREY).all()
    for column, row in ((x, y + h // 2), (x + w - 1, y + h // 2), (x + w // 2, y), (x + w // 2, y + h - 1)):
        assert tuple(drawn[row, column]) == STATE_COLOURS[state]
    assert tuple(drawn[y + h // 2, x + w // 2]) == GREY


@pytest.mark.parametrize("size", [(80, 60), (640, 512), (1920, 1080)])
def test_text_is_legible_and_fits_the_width(size):
    width, height = size
    drawn = draw_overlay(grey(width, height), None, "lost", 0.25, ("frame 1234", "1700000000.123456789 s"))
    changed = (drawn != GREY).any(axis=2)
    rows, columns = np.nonzero(changed)
    assert columns.max() < width - 1 and rows.max() < height - 1
    assert columns.max() > width / 10
    # The state's colour, white, and the black outline that makes both readable on any background.
    for colour in (STATE_COLOURS["lost"], (255, 255, 255), (0, 0, 0)):
        assert (np.abs(drawn.astype(int) - colour).max(axis=2) < 60).any()


@pytest.mark.parametrize("box", [(-50, -50, 20, 20), (-1e12, -1e12, 1e15, 1e15), (630, 500, 99, 99), (3, 3, 0.5, 0.5)])
def test_a_box_beyond_the_image_does_no_harm(box):
    assert draw_overlay(grey(640, 512), box, "tracking", 1.0).shape == (512, 640, 3)


def test_an_unknown_state_is_an_error():
    with pytest.raises(KeyError, match="trackin"):
        draw_overlay(grey(64, 64), None, "trackin")


def test_a_pair_shows_the_box_at_the_same_place_of_both_images():
    visible, thermal = grey(320, 240), np.full((60, 80), 200, np.uint8)
    drawn = draw_pair(Frame(visible, thermal), Registration.identity(), (100, 90, 40, 60), "tracking", 0.9)
    assert drawn.shape == (240, 640, 3)
    colour = STATE_COLOURS["tracking"]
    assert tuple(drawn[120, 100]) == colour and tuple(drawn[120, 320 + 100]) == colour
    assert tuple(drawn[120, 120]) == GREY and tuple(drawn[120, 320 + 120]) == (200, 200, 200)
