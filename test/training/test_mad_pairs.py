"""From pairs with experts to MAD batches: what is missing is named, runs ahead resume, crops of experts are aligned."""

import shutil

import cv2
import numpy as np
import pytest
import torch

from tpf_training.datasets.expert_pairs import own_experts, read_expert_pairs
from tpf_training.datasets.record import DatasetError
from tpf_training.datasets.rgbt_pairs import find_pairs
from tpf_training.mad.expert_config import ExpertConfig
from tpf_training.mad.experts import ExpertError
from tpf_training.mad.run_ahead import expert_folders, run_ahead
from tpf_training.mad.sample import MADSource, collate_mad
from tpf_training.sampling import to_float

SIZE = 200, 150  # width, height


def scene(seed):
    """A visible and a thermal image with structure at all scales and a warm upright blob; no colour is grey."""
    rng = np.random.default_rng(seed)
    noise = sum(
        cv2.resize(rng.integers(0, 256, (SIZE[1] // s, SIZE[0] // s, 3), dtype=np.uint8), SIZE).astype(float)
        for s in (8, 32)
    )
    visible = (40 + noise * 0.35).astype(np.uint8)
    thermal = visible[..., 1] // 2
    cv2.ellipse(thermal, (100, 75), (12, 26), 0, 0, 360, 250, -1)
    return visible, thermal


def luminance(visible):
    return cv2.cvtColor(visible, cv2.COLOR_RGB2GRAY)


@pytest.fixture
def root(tmp_path):
    """Two sets of two pairs; expert `grey` is the visible image's luminance, expert `warm` the thermal image."""
    for number, name in enumerate(("a/one", "a/two", "b/one", "b/two")):
        group, stem = name.split("/")
        visible, thermal = scene(number)
        images = {"visible": visible[..., ::-1], "thermal": thermal}
        images |= {"experts/grey": luminance(visible), "experts/warm": thermal}
        for folder, image in images.items():
            path = tmp_path / group / folder / f"{stem}.jpg"
            path.parent.mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(path), image, [cv2.IMWRITE_JPEG_QUALITY, 98])
    return tmp_path


def test_pairs_come_with_every_experts_image(root):
    experts = own_experts(root)
    assert list(experts) == ["grey", "warm"]
    pairs = read_expert_pairs(find_pairs(root), experts)
    assert [pair.name for pair in pairs] == ["a/one", "a/two", "b/one", "b/two"]
    still = pairs[2].read()
    assert still.name == "b/one" and len(still.boxes) == 1
    assert np.abs(still.experts["grey"].astype(int) - luminance(still.visible)).mean() < 2
    assert np.abs(still.experts["warm"].astype(int) - still.thermal).mean() < 2


def test_a_missing_expert_image_is_named(root):
    (root / "b/experts/warm/two.jpg").unlink()
    with pytest.raises(DatasetError, match="b/experts/warm/two.png: expert 'warm' has no image of pair 'b/two'"):
        read_expert_pairs(find_pairs(root), own_experts(root))
    # One set without an expert is not a smaller set of experts.
    shutil.rmtree(root / "b/experts/warm")
    with pytest.raises(DatasetError, match="b/experts/warm/one.png: expert 'warm'"):
        read_expert_pairs(find_pairs(root), own_experts(root))
    assert len(read_expert_pairs(find_pairs(root), {"grey": own_experts(root)["grey"]})) == 4


def test_damaged_images_and_those_of_another_size_are_named(root):
    pairs = read_expert_pairs(find_pairs(root), own_experts(root))
    cv2.imwrite(str(root / "a/experts/warm/one.jpg"), np.zeros((10, 20), np.uint8))
    with pytest.raises(DatasetError, match="a/experts/warm/one.jpg: is 20x10, its pair is 200x150"):
        pairs[0].read()
    (root / "a/experts/warm/one.jpg").write_bytes(b"broken")
    with pytest.raises(DatasetError, match="a/experts/warm/one.jpg: missing or damaged"):
        pairs[0].read()
    (root / "a/visible/one.jpg").unlink()
    with pytest.raises(DatasetError, match="a/visible/one.jpg: missing"):
        find_pairs(root)


def test_a_pair_may_have_any_usual_suffix_but_only_one_image_a_modality(root):
    for part, name in (("visible", "one.PNG"), ("thermal", "one.tif")):
        path = root / "a" / part / "one.jpg"
        cv2.imwrite(str(path.with_name(name)), cv2.imread(str(path), cv2.IMREAD_UNCHANGED))
        path.unlink()
    (root / "a/thermal/notes.txt").write_text("no image")
    pairs = find_pairs(root)
    assert [pair.name for pair in pairs] == ["a/one", "a/two", "b/one", "b/two"]
    visible, thermal = pairs[0].read()
    assert visible.shape == (150, 200, 3) and thermal[75, 100] > 230
    shutil.copy(root / "a/thermal/one.tif", root / "a/thermal/one.bmp")
    with pytest.raises(DatasetError, match="a/thermal/one.bmp: there is one.tif, too; a pair needs one image"):
        find_pairs(root)
    with pytest.raises(DatasetError, match="no pairs, expected <set>/{visible,thermal}/<name>, images .jpg, .jpeg"):
        find_pairs(root / "a")


def test_pairs_of_held_out_clips_stay_out(root):
    for folder in ("visible", "thermal"):
        (root / "a" / folder / "0117_1620_0008.jpg").write_bytes(b"broken")
    assert len(read_expert_pairs(find_pairs(root), own_experts(root))) == 4


class Mean:
    """An expert that counts its work, and can be interrupted."""

    name, fingerprint = "mean", "0123456789abcdef"

    def __init__(self, limit=100):
        self.fused, self.limit = [], limit

    def fuse(self, visible, thermal, name):
        if len(self.fused) == self.limit:
            raise KeyboardInterrupt
        self.fused.append(name)
        return cv2.addWeighted(luminance(visible), 0.5, thermal, 0.5, 0)


def test_running_ahead_goes_on_where_it_was_interrupted_and_follows_the_pairs_content(root, tmp_path):
    pairs, cache = find_pairs(root), tmp_path / "cache"
    with pytest.raises(KeyboardInterrupt):
        run_ahead(Mean(limit=2), pairs, cache)
    expert = Mean()
    folder = run_ahead(expert, pairs, cache)
    assert expert.fused == ["b/one", "b/two"]
    visible, thermal = pairs[0].read()
    still = read_expert_pairs(find_pairs(root), {"mean": folder})[0].read()
    np.testing.assert_array_equal(still.experts["mean"], expert.fuse(visible, thermal, "a/one"))

    shutil.copy(root / "a/thermal/one.jpg", root / "a/thermal/two.jpg")
    (folder / "b/one.png").unlink()
    expert = Mean()
    assert run_ahead(expert, pairs, cache) == folder
    assert expert.fused == ["a/two", "b/one"]
    assert run_ahead(Mean(limit=0), pairs, cache) == folder

    other = Mean()
    other.fingerprint = "fedcba9876543210"  # other weights
    assert run_ahead(other, pairs, cache) != folder and len(other.fused) == 4


class Darker(torch.nn.Module):
    def forward(self, visible, thermal):
        return torch.minimum(visible, thermal)


def test_only_experts_that_have_no_folder_are_run_ahead(root, tmp_path):
    path = tmp_path / "darker.pt"
    torch.jit.script(Darker()).save(path)
    configs = [ExpertConfig("warm", "folder", root / "{set}/experts/warm"), ExpertConfig("dark", "torchscript", path)]
    folders = expert_folders(configs, find_pairs(root), tmp_path / "cache")
    assert folders["warm"] == root / "{set}/experts/warm" and folders["dark"].parent == tmp_path / "cache"
    still = read_expert_pairs(find_pairs(root), folders)[0].read()
    dark = np.minimum(luminance(still.visible), still.thermal)
    np.testing.assert_array_equal(still.experts["dark"], dark)
    with pytest.raises(ExpertError, match="two experts have the name 'warm'"):
        expert_folders([configs[0]] * 2, find_pairs(root), tmp_path / "cache")


@pytest.fixture
def source(root):
    return MADSource(read_expert_pairs(find_pairs(root), own_experts(root)))


def test_crops_of_experts_are_aligned_with_those_of_the_modalities(source):
    assert source.experts == ["grey", "warm"]
    flipped_or_grey = set()
    for seed in range(30):
        sample = source.sample(np.random.default_rng(seed))
        for view, size in ((sample.template, 128), (sample.search, 256)):
            assert view.visible.shape == (size, size, 3) and view.experts.shape == (2, size, size)
            # One pixel of the image off would give at least 0.86 and 0.99; JPEG and rounding give up to 0.39.
            assert np.abs(view.experts[0].astype(int) - luminance(view.visible)).mean() < 0.6
            np.testing.assert_array_equal(view.experts[1], view.thermal)
        flipped_or_grey.add(bool((sample.search.visible[..., 0] == sample.search.visible[..., 2]).all()))
    assert flipped_or_grey == {False, True}


def test_the_box_is_where_the_warm_blob_is(source):
    rows, columns = np.mgrid[0:256, 0:256]
    seen = 0
    for seed in range(40):
        sample = source.sample(np.random.default_rng(seed))
        x, y, w, h = (256 * value for value in sample.box)
        inside = (columns >= x) & (columns < x + w) & (rows >= y) & (rows < y + h)
        warm = sample.search.experts[1] > 0.85 * sample.search.thermal.max()
        if warm[inside].mean() > 0.4:  # the target is the blob, not some texture
            seen += 1
            assert warm[inside].sum() > 0.9 * warm.sum()
        assert 0 <= x and 0 <= y and x + w <= 256.01 and y + h <= 256.01
    assert seen > 20


def test_one_seed_gives_one_sample_and_batches_hold_them(source):
    samples = [source.sample(np.random.default_rng(seed)) for seed in (0, 0, 1)]
    np.testing.assert_array_equal(samples[0].search.experts, samples[1].search.experts)
    assert samples[0].box == samples[1].box != samples[2].box
    batch = to_float(collate_mad(samples), torch.device("cpu"))
    parts = [f"{view}_{part}" for view in ("template", "search") for part in ("visible", "thermal", "experts")]
    assert set(batch) == {"box", *parts}
    assert all(tensor.dtype == torch.float32 for tensor in batch.values())
    for name, size in (("template", 128), ("search", 256)):
        view = getattr(samples[2], name)
        assert batch[f"{name}_visible"].shape == batch[f"{name}_thermal"].shape == (3, 3, size, size)
        assert batch[f"{name}_experts"].shape == (3, 2, size, size)
        np.testing.assert_array_equal(batch[f"{name}_experts"][2].numpy(), view.experts.astype(np.float32) / 255)
        np.testing.assert_array_equal(
            batch[f"{name}_visible"][2].permute(1, 2, 0).numpy(), view.visible.astype(np.float32) / 255
        )
    assert batch["box"].shape == (3, 4)


def test_pairs_with_different_experts_are_not_mixed(root):
    experts, files = own_experts(root), find_pairs(root)
    pairs = read_expert_pairs(files[:2], experts) + read_expert_pairs(files[2:], {"warm": experts["warm"]})
    with pytest.raises(DatasetError, match="different experts"):
        MADSource(pairs)
