"""How the camera moved: what is seen of it, and what must not be taken for it."""

import itertools
from pathlib import Path

import cv2
import numpy as np
import pytest
from tpf_model.camera_motion import Camera, Following, Motion
from tpf_model.frame import Frame
from tpf_model.registration import Registration

CLIP = Path(__file__).parents[1] / "data" / "0117_1620"
SIZE = 640, 480
TARGET = (300.0, 200.0, 40.0, 90.0)
PLACES = np.array([(80.0, 60.0), (320.0, 240.0), (600.0, 420.0)])
IDENTITY = Registration.identity()


def shift(x, y):
    return np.array([(1.0, 0.0, x), (0.0, 1.0, y)])


def turned(degrees, scale):
    return cv2.getRotationMatrix2D((320.0, 240.0), degrees, scale)


def texture(seed, size=(800, 640)):
    """A scene larger than the image: structure of several sizes, as walls and bushes have it."""
    random = np.random.default_rng(seed)
    coarse, fine = (random.integers(0, 255, (size[1] // step, size[0] // step), np.uint8) for step in (40, 12))
    return cv2.addWeighted(cv2.resize(coarse, size), 0.6, cv2.resize(fine, size), 0.4, 0)


def view(matrix, seed=0):
    """What a camera sees of the scene after a motion by `matrix`."""
    corner = np.vstack((matrix, (0, 0, 1))) @ np.array([(1, 0, -80), (0, 1, -80), (0, 0, 1)])
    return cv2.warpAffine(texture(seed), corner[:2], SIZE)


def frame(matrix, visible=True, thermal=True):
    grey = view(matrix, 1)
    return Frame(
        np.dstack([view(matrix)] * 3) if visible else None,
        cv2.resize(grey, (320, 240), interpolation=cv2.INTER_AREA) if thermal else None,
        SIZE,
    )


def seen(*frames, registration=IDENTITY, target=TARGET):
    """The motion that is seen at the last of `frames`."""
    camera = Camera()
    return [camera.moved(one, registration, target) for one in frames][-1]


MOTIONS = {
    "a shift": shift(9, -6),
    "a long shift": shift(-40, 25),
    "a turn": turned(3, 1),
    "zooming in": turned(0, 1.06),
    "zooming out, turning and shifting": turned(-2, 0.96) + [(0, 0, 12), (0, 0, 5)],
}


@pytest.mark.parametrize("images", [{}, {"thermal": False}, {"visible": False}], ids=["both", "visible", "thermal"])
@pytest.mark.parametrize("name", MOTIONS)
def test_it_is_seen_in_either_image(name, images):
    true = Motion(np.array(MOTIONS[name]))
    motion = seen(frame(shift(0, 0), **images), frame(true.matrix, **images))
    assert np.linalg.norm(motion.places(PLACES) - true.places(PLACES), axis=1).max() < 1.0
    assert motion.scale == pytest.approx(true.scale, rel=0.005)


def test_a_box_goes_with_the_scene():
    motion = Motion(turned(90, 2.0))
    assert motion.box((300, 220, 40, 40)) == pytest.approx((280, 200, 80, 80))  # in the middle of the turn
    assert Motion(shift(5, -3)).box((10, 20, 30, 40)) == pytest.approx((15, 17, 30, 40))


def test_a_box_can_go_a_part_of_the_way():
    zoom = Motion(turned(0, 1.44))
    for share, side in ((0.0, 40), (0.5, 48), (1.0, 57.6)):
        x, y, w, h = zoom.box((400, 220, 40, 40), share)
        assert (x + w / 2, y + h / 2, w, h) == pytest.approx((420 + share * 44, 240, side, side))


def share(steps, side=40):
    """The share after `steps`, of each how far the scene went to the right and how far the target did; None: not known.

    A target that went nowhere was not seen; a scene that did is told of in the next step.
    """
    place = 300.0
    following = Following((place, 200, side, side))
    for scene, target in steps:
        place += target or 0
        box = None if target is None else (place, 200, side, side)
        following.saw(box, None if scene is None else Motion(shift(scene, 0)))
    return following.share


def test_a_target_shares_the_scene_s_motion_until_it_is_seen_that_it_does_not():
    assert share([]) == 1
    assert share([(30, 30)] * 20) == pytest.approx(1)
    assert share([(30, 0)]) < 0.1 and share([(30, 0)] * 20) < 0.01
    assert share([(30, 15)] * 20) == pytest.approx(0.5, abs=0.01)
    assert share([(30, 0)] * 20 + [(30, 30)] * 40) > 0.95


def test_no_more_than_all_of_it_and_no_less_than_none():
    assert share([(30, 60)] * 20) == 1 and share([(30, -30)] * 20) == 0


def test_motion_that_is_small_beside_the_target_says_little():
    assert share([(1, 0)] * 50) > 0.75
    assert share([(1, 0)] * 50, side=4) < 0.1


def test_what_the_target_did_before_the_motion_was_told_counts():
    assert share([(None, 15), (30, 15)] * 20) == pytest.approx(1)


def test_what_a_target_did_that_was_not_seen_does_not_count():
    assert share([(30, 30)] * 20 + [(30, None), (30, -300)]) == pytest.approx(1)
    assert share([(30, 30), (None, None), (30, -300), (30, 30)]) == pytest.approx(1)


def test_thermal_pixels_lie_where_the_registration_says():
    """Twice as large in the visible image, and elsewhere: a shift there is one of twice the thermal pixels."""
    registration = Registration.homography([2, 0, 60, 0, 2, 30, 0, 0, 1])
    before, after = (Frame(None, view(shift(x, 0)), (1400, 1000)) for x in (0, 8))
    motion = seen(before, after, registration=registration, target=(0, 0, 1, 1))
    assert np.abs(motion.places(PLACES) - PLACES - (16, 0)).max() < 1.5


def test_what_lies_behind_the_registration_s_horizon_does_not_count():
    registration = Registration.homography([2, 0, 0, 0, 2, 0, -0.006, 0, 1])
    before, after = (frame(shift(x, 0)) for x in (0, 8))
    motion = seen(before, after, registration=registration)
    assert np.abs(motion.places(PLACES) - PLACES - (8, 0)).max() < 1.0


def test_a_camera_that_stands_is_not_moved_by_noise():
    random, camera, scene = np.random.default_rng(0), Camera(), frame(shift(0, 0))
    for _ in range(20):
        images = (image + random.normal(0, 6, image.shape) for image in (scene.visible, scene.thermal))
        noisy = Frame(*(image.clip(0, 255).astype(np.uint8) for image in images))
        assert camera.moved(noisy, IDENTITY, TARGET) is None


def test_motion_too_slow_to_be_seen_from_frame_to_frame_adds_up():
    camera, place = Camera(), np.array((320.0, 240.0))
    for step in range(41):
        motion = camera.moved(frame(shift(0.3 * step, 0)), IDENTITY, TARGET)
        place = place if motion is None else motion.places(place)
        assert place == pytest.approx((320 + 0.3 * step, 240), abs=1.6)


def with_patch(frame, box, seed=5):
    """`frame` with something of its own texture in `box`."""
    x, y, width, height = box
    images = frame.visible.copy(), cv2.resize(frame.thermal, SIZE)
    for image in images:
        patch = texture(seed, (max(width, 40), max(height, 40)))[:height, :width]
        image[y : y + height, x : x + width] = patch if image.ndim == 2 else patch[..., None]
    return Frame(*images)


def test_what_walks_through_the_scene_does_not_count():
    moved = shift(-9, 6)
    motion = seen(with_patch(frame(shift(0, 0)), (20, 100, 150, 300)), with_patch(frame(moved), (35, 95, 150, 300)))
    assert np.abs(motion.places(PLACES) - PLACES - (-9, 6)).max() < 1.0


def test_what_fills_half_of_the_image_does_not_carry_the_box_away_from_what_stands():
    scene = frame(shift(0, 0))
    assert seen(with_patch(scene, (10, 150, 600, 280)), with_patch(scene, (22, 150, 600, 280))) is None


def plain():
    return Frame(np.full((480, 640, 3), 128, np.uint8), np.full((240, 320), 128, np.uint8))


def test_the_target_s_own_motion_does_not_count():
    box = (300, 200, 200, 200)
    before, after = with_patch(plain(), box), with_patch(plain(), (310, 205, 200, 200))
    assert seen(before, after, target=(295, 195, 210, 210)) is None
    assert seen(before, after, target=(0, 0, 40, 40)) is not None  # it would, were it not the target


def noise(seed):
    random = np.random.default_rng(seed)
    return Frame(random.integers(0, 30, (480, 640, 3), np.uint8), random.integers(0, 30, (240, 320), np.uint8))


def specks(seed):
    """A few bright dots, elsewhere in each frame."""
    image = np.zeros((480, 640), np.uint8)
    for x, y in np.random.default_rng(seed).integers(20, 460, (15, 2)):
        cv2.circle(image, (int(x), int(y)), 5, 255, -1)
    return Frame(np.dstack([image] * 3), None)


def tiny(size):
    return Frame(np.zeros((size, size, 3), np.uint8), np.zeros((1, 2), np.uint8))


@pytest.mark.parametrize(
    "frames",
    [
        pytest.param([plain(), plain()], id="nothing to see"),
        pytest.param([noise(0), noise(1)], id="noise"),
        pytest.param([specks(58), specks(59)], id="specks"),
        pytest.param([tiny(1), tiny(1)], id="one pixel"),
        pytest.param([tiny(3), tiny(3)], id="a few pixels"),
        pytest.param([frame(shift(0, 0), visible=False), frame(shift(9, 0), thermal=False)], id="another camera"),
        pytest.param([frame(shift(0, 0)), with_patch(plain(), (0, 0, 640, 480))], id="another scene"),
        pytest.param([frame(shift(9, 0))], id="the first frame"),
    ],
)
def test_where_it_is_not_certain_none_is_said(frames):
    assert seen(*frames) is None


def test_a_camera_that_was_away_counts_again_from_its_second_frame_on():
    frames = [frame(shift(9 * step, 0), visible=step > 1, thermal=step < 2) for step in range(4)]
    assert seen(*frames[:3]) is None
    assert np.abs(seen(*frames).places(PLACES) - PLACES - (9, 0)).max() < 1.0


def test_images_of_another_size_show_the_same_scene():
    """The boxes are in the new image's pixels by then: what is said is the motion in those."""
    before, after = frame(shift(0, 0)), frame(shift(8, 0))
    half = Frame(cv2.resize(after.visible, (320, 240), interpolation=cv2.INTER_AREA), after.thermal)
    motion = seen(before, half, target=(0, 0, 1, 1))
    assert np.abs(motion.places(PLACES / 2) - PLACES / 2 - (4, 0)).max() < 0.7


def clip(frames):
    videos = [cv2.VideoCapture(str(CLIP / name)) for name in ("visible.mp4", "thermal.mp4")]
    for _ in range(frames):
        visible, thermal = (video.read()[1] for video in videos)
        yield cv2.cvtColor(visible, cv2.COLOR_BGR2RGB), thermal[..., 0]


def test_in_smoke_and_with_people_around_the_shake_is_seen():
    """The real clip, whose camera is fixed, shaken by whole pixels: of a larger image another part is shown."""
    random = np.random.default_rng(0)
    corners = random.integers(0, 25, (60, 2))
    camera, errors = Camera(), []
    for images, (x, y), last in zip(clip(60), corners, itertools.chain([None], corners)):
        shown = Frame(*(np.ascontiguousarray(image[y : y + 440, x : x + 600]) for image in images))
        motion = camera.moved(shown, IDENTITY, TARGET)
        if last is not None:
            found = PLACES if motion is None else motion.places(PLACES)
            errors.append(np.abs(found - PLACES - (last - (x, y))).max())
    assert np.median(errors) < 1.0 and max(errors) < 4.0


def test_in_smoke_and_with_people_around_a_fixed_camera_stands():
    camera = Camera()
    motions = [camera.moved(Frame(*images), IDENTITY, TARGET) for images in clip(60)]
    assert sum(motion is not None for motion in motions) <= 2
