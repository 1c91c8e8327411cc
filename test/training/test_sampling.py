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
        ClipSource([dataclasses.replace(clip, visible=None, thermal=images[-2:], boxes=clip.boxes[-2:], frames=frames[-2:])], SamplingConfig())


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


def test_an_unknown_source_is_an_error_that_lists_the_known(data_root):
    with pytest.raises(ValueError, match="'rgb_vidoe', did you mean 'rgb_video'; known: .*lasher"):
        build_mixture(data_root, {"rgb_vidoe": SourceConfig(1)})


def test_an_object_is_cut_out_the_same_way_every_time():
    # GrabCut draws from OpenCV's own generator.
    frame = load_frames(CLIP / "visible.mp4", Wanted(np.array([240]), grey=False))
    clip = Clip("smoke", np.repeat(frame, 12, axis=0), None, np.tile([300, 150, 60, 150], (12, 1)), np.arange(12))
    sprites = sprites_of_clip(clip, np.random.default_rng(0))
    for sprite in sprites[1:]:
        np.testing.assert_array_equal(sprite.alpha, sprites[0].alpha)
