"""Parameters by themselves: each described, and checked as one set."""

import pytest

from tpf_ros.parameters import Settings, SettingsError, make_registration, parameters


def problems(**values):
    with pytest.raises(SettingsError) as caught:
        Settings.from_values({name.replace("__", "."): value for name, value in values.items()})
    return caught.value.problems


def test_the_defaults_are_valid_and_described():
    settings = Settings.from_values({})
    assert settings == Settings()
    for info in parameters():
        assert info.description, info.name
        assert info.check(info.default) == info.default


def test_all_problems_are_named_at_once():
    wrong = {"model": "huge", "sync__max_difference": -1.0, "thermal__percentiles": [98.0, 2.0], "devise": "cpu"}
    found = " | ".join(problems(**wrong))
    assert "'huge'" in found and "auto, base, small, tiny" in found
    assert "sync.max_difference is -1" in found and "0 to 10" in found
    assert "percentiles" in found
    assert "did you mean 'device'" in found


@pytest.mark.parametrize(
    "values, reason",
    [
        ({"threads": 2.5}, "threads"),
        ({"threads": -1}, "threads"),
        ({"sync__thermal_offset": float("nan")}, "finite"),
        ({"registration__homography": [1.0] * 8}, "has 8 numbers, must have 9"),
        ({"registration__homography": [1.0] * 9}, "inverted"),
        ({"registration__method": "plane", "registration__rotation": [2.0, 0, 0, 0, 1, 0, 0, 0, 1]}, "rotation"),
        ({"thermal__normalisation": "fixed", "thermal__limits": [5.0, 5.0]}, "limits"),
        ({"thermal__limits": ["low", "high"]}, "list of numbers"),
        ({"tracker__coast_score": 0.6, "tracker__recover_score": 0.5}, "tracker.recover_score"),
        ({"visible__transport": "theora"}, "raw, compressed"),
    ],
)
def test_a_bad_value_is_refused_with_its_name(values, reason):
    assert any(reason in problem for problem in problems(**values))


def test_values_arrive_in_their_groups_and_types():
    settings = Settings.from_values({"sync.max_difference": 1, "thermal.limits": [20, 40], "tracker.lost_after": 7})
    assert settings.sync.max_difference == 1.0 and isinstance(settings.sync.max_difference, float)
    assert settings.thermal.limits == (20.0, 40.0)
    assert settings.tracker.lost_after == 7


def test_registration_by_plane_waits_for_both_cameras():
    settings = Settings.from_values({"registration.method": "plane", "registration.translation": [0.1, 0.0, 0.0]})
    matrix = [[100.0, 0.0, 50.0], [0.0, 100.0, 50.0], [0.0, 0.0, 1.0]]
    assert make_registration(settings) is None
    assert make_registration(settings, matrix, None) is None
    shift = make_registration(settings, matrix, matrix).matrix((100, 100), (100, 100))
    assert shift[0, 2] == pytest.approx(0.1 * 100 / 20)  # focal length times base over distance
