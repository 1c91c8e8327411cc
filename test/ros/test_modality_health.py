"""What each camera can do wrong is noticed, what only looks like it is not, and all of it passes."""

import numpy as np
import pytest

from tpf_ros.modality_health import Health, HealthConfig, ModalityHealth, judge_image

MS = 1_000_000
H, W = 512, 640


def visible(seed: int = 0, low: int = 20, high: int = 200) -> np.ndarray:
    """A noisy scene."""
    return np.random.default_rng(seed).integers(low, high, (H, W, 3), dtype=np.uint8)


def raw(seed: int = 0, mean: int = 7500, noise: int = 60) -> np.ndarray:
    """Raw 14-bit counts."""
    return np.random.default_rng(seed).integers(mean - noise, mean + noise, (256, 320), dtype=np.uint16)


def with_target(image: np.ndarray, value: int, size: int = 8) -> np.ndarray:
    image = image.copy()
    image[201 : 201 + size, 303 : 303 + size] = value
    return image


def dark(seed: int = 0) -> np.ndarray:
    return visible(seed, 0, 8)


WHITE_SKY = np.full((H, W, 3), 255, np.uint8)
COLD_SKY = np.random.default_rng(0).integers(0, 8, (256, 320), dtype=np.uint8)


@pytest.mark.parametrize("image, expected", [
    (visible(), Health.OK),
    (visible(low=0, high=30), Health.OK),  # night
    (dark(), Health.BLACK),
    (np.zeros((H, W, 3), np.uint8), Health.BLACK),
    (np.full((H, W, 3), (0, 135, 0), np.uint8), Health.BLACK),  # a buffer of zeros read as YUV
    (WHITE_SKY, Health.SATURATED),
    (visible(low=250, high=256), Health.SATURATED),
    (with_target(dark(), 200), Health.OK),  # a light in the night
    (with_target(WHITE_SKY, 60), Health.OK),  # a drone before the sun
    (raw(), Health.OK),
    (raw(noise=8), Health.OK),  # clear sky
    (raw(noise=3), Health.BLACK),
    (with_target(raw(noise=3), 7600, size=3), Health.OK),
    (np.full((256, 320), 16383, np.uint16), Health.SATURATED),
    (np.full((256, 320), 65535, np.uint16), Health.SATURATED),
    (np.minimum(raw(mean=16600, noise=230), 16383), Health.SATURATED),
    (np.minimum(raw(mean=16300, noise=230), 16383), Health.OK),
    (np.zeros((256, 320), np.uint8), Health.BLACK),
    (np.full((256, 320), 255, np.uint8), Health.SATURATED),
    (with_target(COLD_SKY, 255), Health.OK),
    (with_target(255 - COLD_SKY, 0), Health.OK),  # black is hot
    (raw().astype(np.float32) / 100, Health.OK),
    (np.full((256, 320), 293.15, np.float32), Health.BLACK),
    (np.full((256, 320), np.nan, np.float32), Health.BLACK),
    (np.where(raw() > 7490, np.nan, raw()).astype(np.float32), Health.OK),
    (raw()[:60, :80], Health.OK),
    (visible()[:1, :1], Health.BLACK),
    (visible()[:, ::2][:, :300], Health.OK),  # strided
])  # fmt: skip
def test_single_images(image, expected):
    assert judge_image(image) == expected


class Rig:
    """Two cameras at 30 Hz; `run` plays frames of both and returns the health after each."""

    def __init__(self, **config):
        self.health = ModalityHealth(HealthConfig(**config))
        self.now = 10**9

    def run(self, frames: int, visible_image, thermal_image) -> list[tuple[Health, Health]]:
        """The images are functions of the frame's number; None: no message; returning None: cannot be decoded."""
        seen = []
        for k in range(frames):
            self.now += 33 * MS
            if visible_image:
                self.health.heard_visible(self.now, self.now)
                self.health.see_visible(visible_image(k), self.now)
            if thermal_image:
                self.health.heard_thermal(self.now, self.now)
                self.health.see_thermal(thermal_image(k), self.now)
            seen.append((self.health.visible(self.now), self.health.thermal(self.now)))
        return seen


LIVE = [(visible(k)[::4, ::4], raw(k)[::2, ::2]) for k in range(5)]
DARK = dark()[::4, ::4]


def live_visible(k: int) -> np.ndarray:
    return LIVE[k % 5][0]


def live_thermal(k: int) -> np.ndarray:
    return LIVE[k % 5][1]


FAULTS = {
    Health.BLACK: (lambda k: DARK, lambda k: np.zeros((256, 320), np.uint16)),
    Health.SATURATED: (lambda k: WHITE_SKY, lambda k: np.full((256, 320), 65535, np.uint16)),
    Health.FROZEN: (lambda k: live_visible(0), lambda k: live_thermal(0)),
    Health.SILENT: (lambda k: None, lambda k: None),
}


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("which", [0, 1])
def test_a_fault_of_one_camera_is_found_and_passes(fault, which):
    rig, live = Rig(), [live_visible, live_thermal]
    faulty = list(live)
    faulty[which] = FAULTS[fault][which]
    assert set(rig.run(40, *live)) == {(Health.OK, Health.OK)}
    during = rig.run(60, *faulty)
    expected = [Health.OK, Health.OK]
    expected[which] = fault
    assert during[-1] == tuple(expected)
    assert {seen[1 - which] for seen in during} == {Health.OK}
    found = [seen[which] for seen in during].index(fault)
    assert 30 <= found <= 36 if fault == Health.FROZEN else found == 2
    after = rig.run(20, *live)
    assert after[-1] == (Health.OK, Health.OK) and after[0] == tuple(expected)


@pytest.mark.parametrize("which", [0, 1])
def test_a_silent_camera(which):
    rig, live = Rig(), [live_visible, live_thermal]
    rig.run(10, *live)
    silent = list(live)
    silent[which] = None
    during = [seen[which] for seen in rig.run(30, *silent)]
    assert during.index(Health.SILENT) == 15  # half a second
    assert rig.run(1, *live)[0] == (Health.OK, Health.OK)


def test_a_camera_that_never_spoke_is_silent():
    rig = Rig()
    assert rig.run(3, live_visible, None)[-1] == (Health.OK, Health.SILENT)


@pytest.mark.parametrize("repeats, expected", [(2, Health.OK), (100, Health.SILENT)])
def test_a_driver_that_repeats_its_last_message_has_no_camera_any_more(repeats, expected):
    health = ModalityHealth()
    for k in range(100):
        now, stamp = k * 33 * MS, k // repeats
        health.heard_visible(now, stamp)
        health.see_visible(live_visible(stamp), stamp)
    assert health.visible(now) == expected


def test_images_seen_late_by_a_slow_model_do_not_make_a_camera_silent():
    health = ModalityHealth()
    health.see_visible(visible(), 0)
    health.heard_visible(10**10, 0)
    assert health.visible(10**10 + 100 * MS) == Health.OK


def test_a_camera_at_a_threshold_does_not_flicker():
    images = [DARK, live_visible(0)]
    rig = Rig()
    seen = rig.run(60, lambda k: images[k % 2], live_thermal)
    assert {one[0] for one in seen} == {Health.OK}
    rig.run(5, lambda k: images[0], live_thermal)
    seen = rig.run(60, lambda k: images[k % 2], live_thermal)
    assert {one[0] for one in seen} == {Health.BLACK}


def test_a_scene_at_rest_without_noise_is_not_frozen():
    seen = Rig().run(120, lambda k: live_visible(0), lambda k: live_thermal(0))
    assert set(seen) == {(Health.OK, Health.OK)}


def test_the_last_camera_left_is_not_given_up_for_repeating():
    assert Rig().run(120, lambda k: live_visible(0), None)[-1] == (Health.OK, Health.SILENT)


def test_a_scene_at_rest_with_one_small_moving_thing_is_not_frozen():
    def moving(k: int) -> np.ndarray:
        image = live_visible(0).copy()
        image[101, k % 160] = 255  # in a row that is not among the hashed ones
        return image

    rig = Rig()
    assert {seen[0] for seen in rig.run(60, moving, live_thermal)} == {Health.OK}
    assert rig.run(60, lambda k: moving(0), live_thermal)[-1][0] == Health.FROZEN


def test_short_repeats_and_repeats_without_advancing_stamps_are_not_frozen():
    shutter = Rig().run(60, live_visible, lambda k: live_thermal(0 if 20 < k < 45 else k))  # 0.8 s
    assert {seen[1] for seen in shutter} == {Health.OK}
    health = ModalityHealth()
    for k in range(100):
        health.see_visible(live_visible(0), 5 * MS)
        health.see_thermal(live_thermal(k), k * MS)
    health.heard_visible(0, 0), health.heard_thermal(0, 0)
    assert health.visible(0) == Health.OK


def test_thresholds_are_the_parameters():
    assert judge_image(visible(low=0, high=30), HealthConfig(black_level=40.0)) == Health.BLACK
    night = np.minimum(raw(mean=16300, noise=230), 16383)  # a third is clipped
    assert judge_image(night, HealthConfig(saturated_fraction=0.3)) == Health.SATURATED
    seen = Rig(frozen_after=3.0).run(60, lambda k: live_visible(0), live_thermal)
    assert {one[0] for one in seen} == {Health.OK}
