"""The correlation filter, over made-up crops."""

import pytest
import torch
from tpf_model.correlation_filter import first_filter, no_preference, spectrum_of

SIZE, CELLS = 256, 16
CENTRE = 0.5, 0.5


@pytest.fixture
def generator():
    return torch.Generator().manual_seed(3)


def texture(generator, size=64):
    """(3, size, size) of blots."""
    blots = torch.rand(1, 3, size // 8, size // 8, generator=generator)
    return torch.nn.functional.interpolate(blots, size=(size, size), mode="bilinear")[0]


def crop(*things):
    """The spectrum of a fused crop with each (texture, (x, y)) in it, x and y of its middle in pixels."""
    image = torch.full((3, SIZE, SIZE), 0.4)
    for patch, (x, y) in things:
        half = patch.shape[-1] // 2
        image[:, y - half : y + half, x - half : x + half] = patch
    return spectrum_of(image)


def at(response, x, y):
    """The best response within a cell of a place in pixels."""
    row, column = y // 16, x // 16
    return float(response[max(0, row - 1) : row + 2, max(0, column - 1) : column + 2].max())


@pytest.mark.parametrize("place", [(128, 128), (168, 104), (88, 150)])
def test_the_target_is_found_where_it_went(generator, place):
    target = texture(generator)
    response = first_filter(crop((target, (128, 128))), CENTRE).respond(crop((target, place)), CELLS)
    assert response.shape == (CELLS, CELLS) and response.max() == 1
    row, column = divmod(int(response.argmax()), CELLS)
    assert abs(16 * column + 8 - place[0]) <= 16 and abs(16 * row + 8 - place[1]) <= 16


def test_a_target_that_was_off_the_middle_is_found_in_the_middle(generator):
    target = texture(generator)
    learnt = first_filter(crop((target, (160, 108))), (160 / 256, 108 / 256))
    row, column = divmod(int(learnt.respond(crop((target, (128, 128))), CELLS).argmax()), CELLS)
    assert row in (7, 8) and column in (7, 8)


def test_another_texture_responds_less(generator):
    target, other = texture(generator), texture(generator)
    learnt = first_filter(crop((target, (128, 128))), CENTRE)
    response = learnt.respond(crop((other, (88, 128)), (target, (168, 128))), CELLS)
    assert at(response, 168, 128) == 1 > 1.2 * at(response, 88, 128)


def test_a_target_that_changes_is_learnt_at_the_rate(generator):
    old, new = texture(generator), texture(generator)
    both = crop((old, (88, 128)), (new, (168, 128)))

    def preference(rate):
        learnt = first_filter(crop((old, (128, 128))), CENTRE)
        for _ in range(20):
            learnt = learnt.learn(crop((new, (128, 128))), CENTRE, rate)
        response = learnt.respond(both, CELLS)
        return at(response, 168, 128) / at(response, 88, 128)

    assert preference(0.0) < 0.8 and preference(0.2) > 1 / 0.8


def test_no_place_is_impossible_and_an_empty_crop_is_no_error():
    learnt = first_filter(spectrum_of(torch.zeros(3, SIZE, SIZE)), CENTRE)
    response = learnt.respond(spectrum_of(torch.ones(3, SIZE, SIZE)), CELLS)
    assert torch.isfinite(response).all() and response.min() >= 0.1


def test_without_a_preference_no_place_is_better(generator):
    response = no_preference(SIZE, torch.device("cpu")).respond(crop((texture(generator), (128, 128))), CELLS)
    assert response.unique().numel() == 1


def test_copy_takes_over_the_values_in_place(generator):
    target = crop((texture(generator), (128, 128)))
    place = no_preference(SIZE, torch.device("cpu"))
    numerator = place.numerator
    place.copy_(first_filter(target, CENTRE))
    assert place.numerator is numerator
    torch.testing.assert_close(place.respond(target, CELLS), first_filter(target, CENTRE).respond(target, CELLS))
