import numpy as np
import pytest
import torch
from tpf_model.decode import decode, hann_window
from tpf_model.runtime.device_decode import decode_on_device


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


def test_the_cells_around_the_best_one_have_their_say_by_the_square_of_their_scores():
    score, size, offset = np.full((16, 16), 1e-4), np.full((2, 16, 16), 0.25), np.zeros((2, 16, 16))
    score[8, 8], score[8, 9], score[8, 11] = 0.8, 0.4, 0.7  # the last one is not beside the best
    size[0, 8, 9], size[0, 8, 11] = 0.5, 1.0
    (x, y, w, h), best = decode(score, size, offset, np.ones_like(score))
    assert best == 0.8
    assert (w, h) == pytest.approx((0.25 * 0.8 + 0.5 * 0.2, 0.25), abs=1e-4)  # 0.8^2 : 0.4^2 = 4 : 1
    assert (x + w / 2, y + h / 2) == pytest.approx((8.2 / 16, 8 / 16), abs=1e-4)


@pytest.mark.parametrize("power", [0, 2])
def test_on_the_device_it_is_the_same(power):
    rng = np.random.default_rng(0)
    window = hann_window(16, power)
    places = set()
    for case in range(200):
        score = rng.uniform(1e-4, 1, (16, 16)).astype(np.float32) ** 4
        score.flat[[0, 15, 240, 255, 100][case % 5]] += case % 2  # corners, too
        size = rng.uniform(1e-4, 1, (2, 16, 16)).astype(np.float32)
        offset = rng.normal(0.5, 1, (2, 16, 16)).astype(np.float32)
        box, best = decode(score, size, offset, window)
        ours = decode_on_device(*map(torch.from_numpy, (score, size, offset, window)))
        assert ours.tolist() == pytest.approx([*box, best], abs=1e-6)
        places.add(np.argmax(score * window))
    assert len(places) > 4


def test_on_the_device_the_first_of_equal_cells_is_the_best_one_too():
    score, size, offset = np.full((16, 16), 1e-4), np.full((2, 16, 16), 0.1), np.zeros((2, 16, 16))
    score[3, 4] = score[9, 2] = 0.5
    ours = decode_on_device(*map(torch.from_numpy, (score, size, offset, np.ones_like(score))))
    assert ours[:4].tolist() == pytest.approx(decode(score, size, offset, np.ones_like(score))[0], abs=1e-6)
