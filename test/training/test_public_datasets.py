"""The published layouts: frames in the order of time, the boxes of the right frames, and damage told with its file."""

import shutil

import cv2
import numpy as np
import pytest

from tpf_training.datasets.folder import read_folder
from tpf_training.datasets.gtot import read_gtot
from tpf_training.datasets.image_sequence import ImageSequence
from tpf_training.datasets.lasher import read_lasher
from tpf_training.datasets.record import DatasetError
from tpf_training.datasets.rgbt210 import read_rgbt210
from tpf_training.datasets.rgbt234 import read_rgbt234
from tpf_training.datasets.source_config import SourceConfig
from tpf_training.datasets.vtuav import read_vtuav
from tpf_training.sampling import build_mixture
from tpf_training.sampling.clip_source import ClipSource
from tpf_training.sampling.config import SamplingConfig
from tpf_training.sampling.cut_out import sprites_of_clip

SIZE = 64, 48  # width, height
BOX = 20, 12, 10, 16  # x, y, w, h of the bright target in frame 0; it moves right by a pixel a frame
COUNT = 12
SHIFT = 3  # pixels that the thermal target lies to the right of the visible one


def box(index, shift=0):
    return BOX[0] + index % 20 + shift, BOX[1], BOX[2], BOX[3]


def frame(index, shift=0, depth=np.uint8):
    """A dim image, unlike any other frame's, with the bright target."""
    image = np.full(SIZE[::-1], 40 + index % 7, depth)
    x, y, w, h = box(index, shift)
    image[y : y + h, x : x + w] = 240
    return image * 257 if depth == np.uint16 else image


def write_frames(folder, names, shift=0, depth=np.uint8):
    folder.mkdir(parents=True)
    for index, name in enumerate(names):
        image = frame(index, shift, depth)
        cv2.imwrite(str(folder / name), image, [cv2.IMWRITE_JPEG_QUALITY, 95] if name.endswith("jpg") else [])


def write_lines(file, boxes, separator=","):
    file.write_text("".join(separator.join(f"{v:g}" for v in numbers) + "\n" for numbers in boxes))


def write_table(file, rows):
    file.write_text("frame,x,y,w,h,visible\n" + "".join(",".join(map(str, row)) + "\n" for row in rows))


def lasher(folder):
    # Names of unequal length, so that sorting them as text would put frame 10 before frame 2.
    write_frames(folder / "visible", [f"v{i}.jpg" for i in range(COUNT)])
    write_frames(folder / "infrared", [f"i{i}.jpg" for i in range(COUNT)], SHIFT)
    for name, shift in (("init", 0), ("visible", 0), ("infrared", SHIFT)):
        write_lines(folder / f"{name}.txt", [box(i, shift) for i in range(COUNT)])


def rgbt234(folder):
    write_frames(folder / "visible", [f"{i:05}v.jpg" for i in range(1, COUNT + 1)])
    write_frames(folder / "infrared", [f"{i:05}i.jpg" for i in range(1, COUNT + 1)], SHIFT)
    write_lines(folder / "visible.txt", [box(i) for i in range(COUNT)])
    write_lines(folder / "infrared.txt", [box(i, SHIFT) for i in range(COUNT)])


def rgbt210(folder):
    write_frames(folder / "visible", [f"{i}.jpg" for i in range(COUNT)])
    write_frames(folder / "infrared", [f"{i}.jpg" for i in range(COUNT)])
    write_lines(folder / "init.txt", [box(i) for i in range(COUNT)], ", ")


def gtot(folder):
    write_frames(folder / "v", [f"{i:05}v.png" for i in range(COUNT)])
    write_frames(folder / "i", [f"{i:05}i.png" for i in range(COUNT)], SHIFT)
    for name, shift in (("v", 0), ("i", SHIFT)):
        corners = [(x, y, x + w, y + h) for x, y, w, h in (box(i, shift) for i in range(COUNT))]
        write_lines(folder / f"groundTruth_{name}.txt", corners, " ")
    write_lines(folder / "init.txt", [box(i) for i in range(COUNT)], "\t")


def vtuav(folder, count=53):
    for name, shift in (("rgb", 0), ("ir", SHIFT)):
        write_frames(folder / name, [f"{i + 7:06}.jpg" for i in range(count)], shift)  # does not begin at 0
        write_lines(folder / f"{name}.txt", [box(i, shift) for i in range(0, count, 10)], " ")


SETS = {
    "lasher": (read_lasher, lasher),
    "rgbt234": (read_rgbt234, rgbt234),
    "rgbt210": (read_rgbt210, rgbt210),
    "gtot": (read_gtot, gtot),
    "vtuav": (read_vtuav, vtuav),
}
TWO_BOXED = ["lasher", "rgbt234", "gtot", "vtuav"]


@pytest.mark.parametrize("name", SETS)
def test_each_frame_comes_with_its_box(tmp_path, name):
    reader, write = SETS[name]
    write(tmp_path / "walk")
    (clip,) = reader(tmp_path)
    step = 10 if name == "vtuav" else 1
    assert clip.name == "walk" and clip.frames.tolist() == [step * i for i in range(len(clip.boxes))]
    assert len(clip.boxes) == (6 if name == "vtuav" else COUNT)
    assert clip.visible.shape == (len(clip.boxes), *SIZE[::-1], 3) and clip.thermal.shape == clip.visible.shape[:3]
    for index, number in enumerate(clip.frames):
        assert clip.boxes[index].tolist() == list(box(number))
        x, y, w, h = clip.boxes[index].astype(int)
        shown = clip.visible[index]
        assert shown.shape == (*SIZE[::-1], 3) and shown.dtype == np.uint8
        assert (shown[y : y + h, x : x + w] > 200).all() and (shown > 140).sum() == 3 * w * h
        shift = SHIFT if name in TWO_BOXED else 0
        assert np.abs(clip.thermal[index].astype(int) - frame(number, shift)).max() < 40
    if name in TWO_BOXED:
        np.testing.assert_array_equal(clip.thermal_boxes, clip.boxes + np.float32([SHIFT, 0, 0, 0]))
    else:
        assert clip.thermal_boxes is None


def test_boxes_may_begin_with_a_byte_order_mark(tmp_path):
    lasher(tmp_path / "lasher/walk")
    ours = tmp_path / "folder/walk"
    for name, part in (("visible", "visible"), ("infrared", "thermal")):
        shutil.copytree(tmp_path / "lasher/walk" / name, ours / part)
    rows = [f"{i},{x},{y},{w},{h},1" for i, (x, y, w, h) in enumerate(map(box, range(COUNT)))]
    (ours / "boxes.csv").write_text("\n".join(["frame,x,y,w,h,visible", *rows]))
    for file in (tmp_path / "lasher/walk/init.txt", ours / "boxes.csv"):
        file.write_bytes(b"\xef\xbb\xbf" + file.read_bytes())
    for (clip,) in (read_lasher(tmp_path / "lasher"), read_folder(tmp_path / "folder")):
        assert clip.boxes.tolist() == [list(box(i)) for i in range(COUNT)]


def test_lines_may_end_in_a_comma(tmp_path):
    lasher(tmp_path / "walk")
    file = tmp_path / "walk/init.txt"
    file.write_text("".join(f"{line},\n" for line in file.read_text().split("\n") if line))
    (clip,) = read_lasher(tmp_path)
    assert clip.boxes.tolist() == [list(box(i)) for i in range(COUNT)]


@pytest.mark.parametrize("line", ["0,0,0,0", "20,12,0,16", "NaN,NaN,NaN,NaN", "-30,12,10,16"])
def test_frames_without_the_target_are_left_out(tmp_path, line):
    lasher(tmp_path / "walk")
    file = tmp_path / "walk/init.txt"
    lines = file.read_text().splitlines()
    lines[4] = line
    file.write_text("\r\n".join(lines) + "\r\n\r\n")
    (clip,) = read_lasher(tmp_path)
    assert clip.frames.tolist() == [0, 1, 2, 3, *range(5, COUNT)] and len(clip.thermal_boxes) == COUNT - 1
    fifth = cv2.imread(str(tmp_path / "walk/infrared/i5.jpg"), cv2.IMREAD_GRAYSCALE)
    np.testing.assert_array_equal(clip.thermal[4], fifth)


def cut_off(path):
    path.write_bytes(path.read_bytes()[:-40])


def replace_line_3(text):
    def replace(path):
        lines = path.read_text().splitlines()
        lines[2] = text
        path.write_text("\n".join(lines))

    return replace


def resize(path):
    cv2.imwrite(str(path), np.zeros((20, 30), np.uint8))


def remove_folder(path):
    for file in path.iterdir():
        file.unlink()
    path.rmdir()


DAMAGE = [
    ("visible/00004v.jpg", lambda p: p.unlink(), "visible has 11 frames, .*infrared has 12"),
    ("infrared/00001i.jpg", cut_off, "infrared/00001i.jpg: missing or damaged image: cut off"),
    ("infrared/00001i.jpg", lambda p: p.write_bytes(b""), "infrared/00001i.jpg: missing or damaged"),
    ("infrared/00001i.jpg", resize, "sizes differ: .*00001v.jpg is 64x48, .*00001i.jpg is 30x20"),
    ("infrared", remove_folder, "infrared: cannot list the frames"),
    ("visible.txt", replace_line_3("1,2,3"), "visible.txt: line 3 is '1,2,3', needs 4 numbers"),
    ("infrared.txt", replace_line_3("1,2,,3"), "infrared.txt: line 3 is '1,2,,3'"),
    ("infrared.txt", replace_line_3("1,2, ,3,4"), "infrared.txt: line 3 is '1,2, ,3,4', needs 4 numbers"),
    ("infrared.txt", replace_line_3(",1,2,3,4"), "infrared.txt: line 3 is ',1,2,3,4'"),
    ("visible.txt", replace_line_3(""), "visible.txt: line 3 is ''"),
    ("visible.txt", replace_line_3("1,2,x,4"), "visible.txt: line 3"),
    ("visible.txt", lambda p: p.write_text("1,2,3,4\n"), "visible.txt: has 1 boxes, .*visible has 12 frames"),
    ("infrared.txt", lambda p: p.unlink(), "infrared.txt: cannot be read"),
    ("visible.txt", lambda p: write_lines(p, [(0, 0, 0, 0)] * COUNT), "hurt: the target is never visible"),
]


@pytest.mark.parametrize("file, damage, message", DAMAGE)
def test_damage_is_an_error_that_names_the_file_or_a_counted_skip(tmp_path, file, damage, message):
    for name in ("hurt", "well"):
        rgbt234(tmp_path / name)
    damage(tmp_path / "hurt" / file)
    with pytest.raises(DatasetError, match=message):
        read_rgbt234(tmp_path)
    skipped = []
    assert [clip.name for clip in read_rgbt234(tmp_path, skipped=skipped)] == ["well"]
    assert len(skipped) == 1
    with pytest.warns(UserWarning, match=f"skipped 1 damaged:\n.*{message}"):
        build_mixture(tmp_path, {"rgbt234": SourceConfig(1, tmp_path)}, skip_damaged=True)


def test_a_set_that_is_all_damage_is_an_error_even_when_damage_is_skipped(tmp_path):
    rgbt234(tmp_path / "hurt")
    (tmp_path / "hurt/visible.txt").unlink()
    with pytest.raises(DatasetError, match="every sequence is damaged, the first: .*visible.txt"):
        read_rgbt234(tmp_path, skipped=[])


@pytest.mark.parametrize(
    "damage, message",
    [(cut_off, "v5.jpg: .*cut off"), (resize, "v5.jpg: is 30x20"), (lambda p: p.unlink(), "v5.jpg: missing or dam")],
)
def test_a_frame_that_is_spoilt_later_is_told_when_drawn_or_counted_and_drawn_anew(tmp_path, damage, message):
    lasher(tmp_path / "walk")
    sources = {"lasher": SourceConfig(1, tmp_path)}
    strict, tolerant = (build_mixture(tmp_path, sources, skip_damaged=skip) for skip in (False, True))
    damage(tmp_path / "walk/visible/v5.jpg")
    with pytest.raises(DatasetError, match=message):
        for seed in range(50):
            strict.sample(np.random.default_rng(seed))
    with pytest.warns(UserWarning, match=message) as told:
        samples = [tolerant.sample(np.random.default_rng(seed)) for seed in range(50)]
    assert len(told) == 1 and len(samples) == 50
    ((error, count),) = tolerant.damaged.items()
    assert "v5.jpg" in error and count > 1


def test_vtuav_needs_a_box_for_every_tenth_frame(tmp_path):
    vtuav(tmp_path / "walk")
    write_lines(tmp_path / "walk/ir.txt", [BOX] * 5, " ")
    with pytest.raises(DatasetError, match="ir.txt: has 5 boxes, .*ir has 53 frames: .* every 10th .* is 6"):
        read_vtuav(tmp_path)


def test_splits_are_folders_or_lists_and_never_a_guess(tmp_path):
    for name in ("trainingset/a", "trainingset/b", "testingset/a"):
        lasher(tmp_path / name)

    def names(split):
        return [clip.name for clip in read_lasher(tmp_path, split)]

    with pytest.raises(DatasetError, match="give a split, a list file or one of testingset, trainingset"):
        names(None)
    assert names("trainingset") == ["a", "b"] and names("testingset") == ["a"]
    (tmp_path / "mine.txt").write_text("b\ntestingset/a\n\n")
    assert names("mine.txt") == names(tmp_path / "mine.txt") == ["trainingset/b", "testingset/a"]
    with pytest.raises(DatasetError, match="val: no such split, expected a list file or one of the folders testingset"):
        names("val")
    (tmp_path / "mine.txt").write_text("b\na\n")
    with pytest.raises(DatasetError, match="mine.txt: line 2: 'a' may be any of .*testingset/a"):
        names("mine.txt")
    (tmp_path / "mine.txt").write_text("trainingst/a\nb\n")
    with pytest.raises(DatasetError, match="line 1: no sequence 'trainingst/a' .* did you mean trainingset/a"):
        names("mine.txt")
    skipped = []
    assert [clip.name for clip in read_lasher(tmp_path, "mine.txt", skipped=skipped)] == ["trainingset/b"]
    assert len(skipped) == 1


def test_the_sequences_of_a_split_may_lie_in_groups(tmp_path):
    vtuav(tmp_path / "test_ST/test_ST_001/car_1")
    vtuav(tmp_path / "test_LT/car_2")
    assert [clip.name for clip in read_vtuav(tmp_path, "test_ST")] == ["test_ST_001/car_1"]
    assert [clip.name for clip in read_vtuav(tmp_path, "test_LT")] == ["car_2"]


def rows(first=0, count=COUNT):
    return [(i, *box(i), 1) for i in range(first, first + count)]


def test_the_folder_format_takes_one_modality_or_both_and_a_file_for_each_target(tmp_path):
    names = [f"{i}.png" for i in range(COUNT)]
    write_frames(tmp_path / "both/visible", names)
    write_frames(tmp_path / "both/thermal", names, depth=np.uint16)
    write_table(tmp_path / "both/A.csv", rows())
    write_table(tmp_path / "both/B.csv", [*rows(3, 4), (9, 0, 0, 0, 0, 0)])
    (tmp_path / "both/stamps.csv").write_text("frame,visible,thermal\n")
    write_frames(tmp_path / "night/thermal", names)
    write_table(tmp_path / "night/boxes.csv", rows())
    write_frames(tmp_path / "0117_1620/thermal", names)  # held out, and lacks its boxes: must not be looked at
    first, second, night = read_folder(tmp_path)
    assert [clip.name for clip in (first, second, night)] == ["both/A", "both/B", "night/boxes"]
    assert second.frames.tolist() == [3, 4, 5, 6] and night.visible is None
    for index, number in enumerate(second.frames):  # 16 bits, as the tracker normalises them: the target is white
        assert ((second.thermal[index] == 255) == (frame(number) == 240)).all()
        assert np.abs(second.visible[index].astype(int) - frame(number)[..., None]).max() == 0


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda clip: (clip / "boxes.csv").unlink(), "clip: no box file, expected boxes.csv or <target>.csv"),
        (lambda clip: write_table(clip / "boxes.csv", rows(1)), "boxes.csv: has a box for frame 12, .* has 12 frames"),
        (lambda clip: write_table(clip / "boxes.csv", [(0, 1, 2, 3)]), "boxes.csv: line 2 is '0,1,2,3'"),
        (lambda clip: (clip / "visible/3.png").unlink(), "visible has 11 frames, .*thermal has 12 frames"),
    ],
)
def test_damage_in_the_folder_format_is_told_with_its_file_or_counted(tmp_path, change, message):
    for name in ("clip", "other"):
        for part in ("visible", "thermal"):
            write_frames(tmp_path / name / part, [f"{i}.png" for i in range(COUNT)])
        write_table(tmp_path / name / "boxes.csv", rows())
    change(tmp_path / "clip")
    with pytest.raises(DatasetError, match=message):
        read_folder(tmp_path)
    skipped = []
    assert [clip.name for clip in read_folder(tmp_path, skipped=skipped)] == ["other/boxes"] and len(skipped) == 1


def test_samples_decode_only_the_frames_they_show(tmp_path, monkeypatch):
    lasher(tmp_path / "walk")
    (clip,) = read_lasher(tmp_path)
    decoded = []
    original = ImageSequence.__getitem__
    monkeypatch.setattr(ImageSequence, "__getitem__", lambda self, i: decoded.append(i) or original(self, i))
    source = ClipSource([clip], SamplingConfig())
    assert not decoded
    for seed in range(20):
        decoded.clear()
        source.views(np.random.default_rng(seed))
        assert len(decoded) <= 6
    assert sprites_of_clip(clip, np.random.default_rng(0))


def test_a_source_of_frames_joins_the_mixture(tmp_path):
    lasher(tmp_path / "data/lasher/trainingset/walk")
    gtot(tmp_path / "elsewhere/run")
    sources = {
        "lasher": SourceConfig(3, split="trainingset"),
        "gtot": SourceConfig(1, root=tmp_path / "elsewhere"),
    }
    mixture = build_mixture(tmp_path / "data", sources)
    assert mixture.shares == {"lasher": 0.75, "gtot": 0.25}
    for name in sources:
        assert mixture.sample(np.random.default_rng(1), name).search[0].shape == (256, 256, 3)
    with pytest.raises(ValueError, match="'rgb_video' has no splits"):
        build_mixture(tmp_path, {"rgb_video": SourceConfig(1, split="train")})
    with pytest.raises(ValueError, match="weight of a source is -1"):
        SourceConfig(-1)


def test_skipped_damage_in_videos_is_counted_too(data_root, tmp_path):
    for name in ("walk", "hurt"):
        shutil.copytree(data_root / "rgbt_video/walk", tmp_path / "rgbt_video" / name)
    (tmp_path / "rgbt_video/hurt/thermal.mp4").unlink()
    with pytest.warns(UserWarning, match="skipped 1 damaged:\n.*hurt/thermal.mp4: no such video"):
        mixture = build_mixture(tmp_path, {"rgbt_video": SourceConfig(1)}, skip_damaged=True)
    assert len(mixture.sources["rgbt_video"].clips) == 1
