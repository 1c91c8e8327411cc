import numpy as np
import pytest
from tpf_model.decode import decode, hann_window


def maps(cells=16):
    return np.full((cells, cells), 1e-4, np.float32), np.zeros((2, cells, cells)), np.zeros((2, cells, cells))


def test_the_box_is_cell_plus_offset_with_the_cells_size():
    score, size, offset = maps()
    score[3, 10], size[:, 3, 10], offset[:, 3, 10] = 0.8, (0.25, 0.5), (0.4, -0.6)
    box, best = decode(score, size, offset, np.ones_like(score))
    x, y = (10 + 0.4) / 16, (3 - 0.6) / 16
    assert box == pytest.approx((x - 0.125, y - 0.25, 0.25, 0.5))
    assert best == pytest.approx(0.8)


def test_the_window_chooses_but_the_score_is_the_plain_one():
    score, size, offset = maps()
    score[0, 0], score[8, 8] = 0.9, 0.6
    size[0, 0, 0], size[0, 8, 8] = 0.1, 0.2
    assert decode(score, size, offset, hann_window(16))[1] == pytest.approx(0.6)
    assert decode(score, size, offset, hann_window(16, power=0))[1] == pytest.approx(0.9)


def test_the_window_is_symmetric_positive_and_highest_in_the_middle():
    window = hann_window(16)
    assert np.allclose(window, window.T) and np.allclose(window, window[::-1])
    assert window.min() > 0 and window.argmax() in (7 * 16 + 7, 7 * 16 + 8, 8 * 16 + 7, 8 * 16 + 8)
    assert window[0, 0] == pytest.approx((0.5 * (1 - np.cos(2 * np.pi / 17))) ** 2)  # OSTrack's hann1d, at 1 of 16
    assert np.allclose(hann_window(16, power=2), window**2)
