import pytest
from tpf_model.config import ModelConfig, default_model, load_variant, variant_names

SIZES = {"name": "x", "width": 64, "depth": 1, "heads": 1, "head_channels": 8}


def test_every_variant_that_ships_loads():
    assert variant_names() == ["base", "small", "tiny"]
    for name in variant_names():
        config = load_variant(name)
        assert config.name == name
        assert ModelConfig.from_dict(config.to_dict()) == config


@pytest.mark.parametrize("device, model", [("cpu", "tiny"), ("cuda", "small"), ("cuda:1", "small")])
def test_a_cpu_gets_the_model_that_is_fast_enough_and_a_gpu_the_better_one(device, model):
    assert default_model(device) == model


def test_an_unknown_model_is_refused_with_the_known_ones():
    with pytest.raises(ValueError, match="'huge'.*base, small, tiny"):
        load_variant("huge")


def test_a_wrong_key_is_refused_with_the_nearest_right_one():
    with pytest.raises(ValueError, match="'token_strid'.*'token_stride'"):
        ModelConfig.from_dict({**SIZES, "token_strid": 4})


@pytest.mark.parametrize(
    "change, reason",
    [({"fusion": "max"}, "'pfa' or 'addition'"), ({"heads": 5}, "heads"), ({"search_size": 250}, "search_size 250")],
)
def test_sizes_that_do_not_fit_are_refused(change, reason):
    with pytest.raises(ValueError, match=reason):
        ModelConfig.from_dict({**SIZES, **change})
