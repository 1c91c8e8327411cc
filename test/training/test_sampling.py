"""From clips to batches: boxes map right, time runs forwards, one seed gives one sample."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch

from tpf_training.datasets.frame_store import Wanted, load_frames
from tpf_training.datasets.record import Clip, DatasetError
from tpf_training.datasets.rgbt_video import read_rgbt_video
from tpf_training.augmentation.config import AugmentationConfig
from tpf_training.datasets.source_config import SourceConfig
from tpf_training.sampling import DEFAULT_SOURCES, build_mixture, collate, to_float
from tpf_training.sampling.clip_source import ClipSource, draw_frames
from tpf_training.sampling.config import SamplingConfig
from tpf_training.sampling.cut_out import sprites_of_clip
from tpf_training.sampling.finish import augment_jointly, finish, fractions
from tpf_training.sampling.jitter import Jitter

CLIP = Path(__file__).parents[1] / "data/0117_1620"


@pytest.fixture(scope="module")
def mixture(data_root):
    return build_mixture(data_root)


@pytest.fixture(scope="module")
def walk(data_root):
    return ClipSource(read_rgbt_video(data_root / "rgbt_video"), SamplingConfig())


def draw_views(source, seed, present=None):
    """The first usable draw of `seed`, and its generator; `present`: only with, or without, the target to search."""
    rng = np.random.default_rng(seed)
    while True:
        views = source.views(rng)
        if views is not None and present in (None, views[2].present):
            return views, rng


def bright_box(image):
    """Edges left, top, right, bottom of what is bright."""
    rows, columns = np.nonzero((image if image.ndim == 2 else image.min(axis=2)) > 170)
    return np.array([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1])


def edges(box, size):
    x, y, w, h = box
    return np.clip([x, y, x + w, y + h], 0, size)


def test_boxes_enclose_the_target_before_and_after_the_flip(walk):
    for seed in range(20):
        views, rng = draw_views(walk, seed, present=True)
        for _ in range(2):
            for view in views:
                for image in (view.visible, view.thermal):
                    # Half a source pixel of blur and of compression, at up to 3 crop pixels a source pixel.
                    assert np.abs(bright_box(image) - edges(view.box, view.size)).max() < 4
            augment_jointly(rng, views, AugmentationConfig())


def test_padding_is_black_in_finished_samples_and_the_box_stays(walk, mixture):
    padded = 0
    for seed in range(40):
        views, rng = draw_views(walk, seed, present=True)
        inside, box = views[2].inside, fractions(views[2])
        sample = finish(rng, views, mixture.objects, "rgbt_video", AugmentationConfig())
        flipped = sample.box[0] != pytest.approx(box[0])
        assert sample.box == pytest.approx((1 - box[0] - box[2], *box[1:]) if flipped else box)
        if inside is None:
            continue
        padding = (inside[:, ::-1] if flipped else inside) == 0
        padded += padding.any()
        assert not sample.search[0][padding].any() and not sample.search[1][padding].any()
    assert padded > 10


@pytest.mark.parametrize("source", ["rgbt_video", "pasted"])
def test_sometimes_the_search_crop_does_not_show_the_target(mixture, source):
    absent = 0
    for seed in range(100):
        views, rng = draw_views(mixture.sources[source], seed)
        assert views[0].present and views[1].present
        if views[2].present:
            continue
        absent += 1
        if source == "rgbt_video":  # the target is the one bright thing in its images
            assert views[2].visible.max() < 170 and views[2].thermal.max() < 170
        assert finish(rng, views, mixture.objects, source, AugmentationConfig()).box is None
    assert 2 < absent < 25


def test_frames_are_in_the_order_of_time_and_within_the_gap():
    # Three frames together, then a hole: no draw may reach over it, and the last two never start one.
    frames = np.array([0, 10, 190, 200, 205, 700, 705, 710, 1500, 1600])
    images = np.zeros((len(frames), 8, 8), np.uint8)
    clip = Clip("clip", None, images, np.ones((len(frames), 4), np.float32), frames)
    rng = np.random.default_rng(0)
    drawn = {tuple(frames[list(draw_frames(rng, clip, 200))]) for _ in range(500)}
    assert all(first < second < last <= first + 200 for first, second, last in drawn)
    assert {(0, 10, 200), (10, 200, 205), (700, 705, 710)} <= drawn
    with pytest.raises(DatasetError, match="clip"):
        short = {"thermal": images[-2:], "boxes": clip.boxes[-2:], "frames": frames[-2:]}
        ClipSource([dataclasses.replace(clip, **short)], SamplingConfig())


def test_the_largest_gap_is_that_of_the_settings():
    frames = np.arange(100)
    clip = Clip("clip", None, np.zeros((100, 8, 8), np.uint8), np.ones((100, 4), np.float32), frames)
    gaps = [last - first for first, _, last in (draw_frames(np.random.default_rng(s), clip, 7) for s in range(300))]
    assert min(gaps) == 2 and max(gaps) == 7


def test_a_frozen_camera_shows_the_place_of_the_crop_at_an_earlier_moment(walk):
    """The target moves to the right, so it was further left, and never further than it was in the template."""
    moved = 0
    for seed in range(30):
        views, rng = draw_views(walk, seed, present=True)
        assert views[0].earlier is None
        for view, moments in ((views[1], (0, 0.5)), (views[2], (0, 0.5, 1.0, 1.5))):
            if view.earlier is None:  # the dynamic template still is the first one
                continue
            lefts = []
            for moment in moments:
                old = view.earlier(moment)
                lefts.append(old.box[0])
                if 0 < old.box[0] and old.box[0] + old.box[2] < view.size and 0 < old.box[1] < view.size - old.box[3]:
                    for image in (old.visible, old.thermal):
                        assert np.abs(bright_box(image) - edges(old.box, view.size)).max() < 4
                        moved += 1
            assert lefts == sorted(lefts) and lefts[-1] <= view.box[0] + 1e-6
            assert old.box[2:] == pytest.approx(view.box[2:], rel=0.01)
    assert moved > 20


def test_a_pasted_object_was_elsewhere_before(mixture):
    views, _ = draw_views(mixture.sources["pasted"], 0, present=True)
    old = views[2].earlier(1.999)
    assert np.abs(np.array(old.box) - views[2].box).max() < 1
    old = views[2].earlier(1.0)
    assert old.box != views[2].box and not np.array_equal(old.thermal, views[2].thermal)


def test_regions_that_follow_the_target_have_no_earlier_image(mixture):
    views, _ = draw_views(mixture.sources["single_modality"], 0)
    assert all(view.earlier is None for view in views)


@pytest.mark.parametrize("source", ["rgbt_video", "rgbt_pairs", "pasted"])
def test_the_dynamic_template_is_the_first_one_as_often_as_set(data_root, source):
    for share in (0.0, 1.0):
        drawn = build_sources(data_root, SamplingConfig(same_template=share)).sources[source]
        for seed in range(5):
            views, _ = draw_views(drawn, seed)
            assert np.array_equal(views[0].thermal, views[1].thermal) == bool(share)


@pytest.mark.parametrize("source", ["rgbt_video", "pasted"])
def test_the_target_is_absent_as_often_as_set(data_root, source):
    for share in (0.0, 1.0):
        drawn = build_sources(data_root, SamplingConfig(absent_target=share)).sources[source]
        assert all(draw_views(drawn, seed)[0][2].present != bool(share) for seed in range(10))


def test_without_jitter_the_target_is_in_the_middle_of_every_crop(data_root):
    config = SamplingConfig(
        absent_target=0.0, dynamic=Jitter(factor=2.0, size=128), search=Jitter(factor=4.0, size=256)
    )
    source = build_sources(data_root, config).sources["rgbt_video"]
    for seed in range(10):
        for view in draw_views(source, seed)[0]:
            x, y, w, h = view.box
            assert (x + w / 2, y + h / 2) == pytest.approx((view.size / 2,) * 2)
            assert np.sqrt(w * h) == pytest.approx(64, rel=0.03)  # the crop's side is a whole number of pixels


def test_a_pair_without_boxes_becomes_a_training_pair_by_warping(data_root):
    """Without warps and jitter, template and search crop show the same; with warps, the box follows the object."""
    fixed = {
        "object_box": 1.0,
        "same_template": 0.0,
        "dynamic": Jitter(factor=2.0, size=128),
        "search": Jitter(factor=4.0, size=256),
    }
    still = build_sources(data_root, SamplingConfig(**fixed, still_turn=0.0, still_stretch=0.0)).sources["rgbt_pairs"]
    warped = build_sources(data_root, SamplingConfig(**fixed, still_stretch=0.15)).sources["rgbt_pairs"]
    for seed in range(10):
        template, _, search = draw_views(still, seed)[0]
        middle = search.thermal[64:192, 64:192].astype(int)
        assert np.abs(middle - template.thermal).mean() < 2
        search = draw_views(warped, seed)[0][2]
        # The blob's own box is a little inside that of the loosened region, whatever the warp did to it.
        found, expected = bright_box(search.thermal), edges(search.box, 256)
        assert (found[:2] - expected[:2] > -6).all() and (found[2:] - expected[2:] < 6).all()


def test_sampling_settings_name_the_key_and_what_is_accepted():
    for make, message in (
        (lambda: SamplingConfig(max_gap=1), "max_gap is 1; accepted: a whole number of 2 or more"),
        (lambda: SamplingConfig(absent_target=2), "absent_target is 2; accepted: 0 to 1"),
        (lambda: SamplingConfig(motion=float("nan")), "motion is nan; accepted: 0 to 10"),
        (lambda: Jitter(factor=4.0, size=512), "size is 512; accepted: 16 to 256"),
        (lambda: Jitter(factor=4.0, size=256, scale=-1), "scale is -1; accepted: 0 to 1"),
        (lambda: SamplingConfig(dynamic=Jitter(factor=2.0, size=64)), "dynamic.size is 64; accepted: .*128"),
    ):
        with pytest.raises(ValueError, match=message):
            make()


def build_sources(data_root, config):
    sources = {name: DEFAULT_SOURCES[name] for name in ("rgbt_video", "rgbt_pairs", "pasted")}
    return build_mixture(data_root, sources, sampling=config)


def test_one_seed_gives_one_sample_of_every_source(data_root, mixture):
    again = build_mixture(data_root)
    for source in DEFAULT_SOURCES:
        first, second, other = (
            m.sample(np.random.default_rng(seed), source) for m, seed in ((mixture, 5), (again, 5), (mixture, 6))
        )
        for name in ("template", "dynamic", "search"):
            for a, b in zip(getattr(first, name), getattr(second, name)):
                np.testing.assert_array_equal(a, b)
        assert first.box == second.box != other.box


def test_a_batch_holds_the_samples_as_the_network_takes_them(mixture):
    samples = [mixture.sample(np.random.default_rng(seed)) for seed in range(3)]
    batch = collate(samples)
    assert all(tensor.dtype == torch.uint8 for name, tensor in batch.items() if name != "box")
    assert batch["search_thermal"].shape == (3, 1, 256, 256)
    batch = to_float(batch, torch.device("cpu"))
    for name, size in (("template", 128), ("dynamic", 128), ("search", 256)):
        for camera, image in zip(("visible", "thermal"), getattr(samples[1], name)):
            tensor = batch[f"{name}_{camera}"]
            assert tensor.shape == (3, 3, size, size) and tensor.dtype == torch.float32
            image = image if image.ndim == 3 else np.stack([image] * 3, axis=-1)
            np.testing.assert_array_equal(tensor[1].permute(1, 2, 0).numpy(), image.astype(np.float32) / 255)
    assert batch["box"].shape == (3, 4) and batch["box"].dtype == torch.float32
    boxes = batch["box"][batch["box"].isfinite().all(dim=1)]
    assert len(boxes) == sum(sample.box is not None for sample in samples)
    assert (boxes >= 0).all() and (boxes[:, :2] + boxes[:, 2:] <= 1.0001).all()
    with pytest.raises(ValueError, match="search_visible.*uint8"):
        to_float({"search_visible": batch["search_visible"]}, torch.device("cpu"))


def test_a_missing_folder_is_named_unless_its_weight_is_0(data_root, tmp_path):
    (tmp_path / "rgbt_video").symlink_to(data_root / "rgbt_video")
    with pytest.raises(DatasetError, match="rgb_video: no such folder"):
        build_mixture(tmp_path)
    few = {"rgbt_video": SourceConfig(0.2), "pasted": SourceConfig(0.2), "rgb_video": SourceConfig(0)}
    few = build_mixture(tmp_path, few)
    assert few.shares == {"rgbt_video": 0.5, "pasted": 0.5}
    assert few.sample(np.random.default_rng(0)).source in few.shares


def test_an_unknown_source_is_an_error_that_names_the_nearest(data_root):
    with pytest.raises(ValueError, match="sources has an unknown name 'rgb_vidoe'; did you mean 'rgb_video'"):
        build_mixture(data_root, {"rgb_vidoe": SourceConfig(1)})


def test_an_object_is_cut_out_the_same_way_every_time():
    # GrabCut draws from OpenCV's own generator.
    frame = load_frames(CLIP / "visible.mp4", Wanted(np.array([240]), grey=False))
    clip = Clip("smoke", np.repeat(frame, 12, axis=0), None, np.tile([300, 150, 60, 150], (12, 1)), np.arange(12))
    sprites = sprites_of_clip(clip, np.random.default_rng(0))
    for sprite in sprites[1:]:
        np.testing.assert_array_equal(sprite.alpha, sprites[0].alpha)
