"""Evaluation clips: every frame at full size, which frames count, and what is wrong in a file is told with its name."""

import shutil

import cv2
import numpy as np
import pytest

from tpf_training.datasets.record import DatasetError
from tpf_training.evaluation.camera_motion import moved
from tpf_training.evaluation.clips import read_paired, read_single
from tpf_training.evaluation.sequences import read_folders


@pytest.fixture
def walk(data_root, tmp_path):
    """A clip of 60 frames in which the target moves 2 px a frame, x = 4 at first; tests may change it."""
    return shutil.copytree(data_root / "rgbt_video/walk", tmp_path / "walk")


def change_lines(boxes, changes):
    """Replace lines of a box file by number, 1 being the header; None deletes one."""
    lines = boxes.read_text().splitlines()
    kept = [changes.get(number, line) for number, line in enumerate(lines, start=1)]
    boxes.write_text("\n".join(line for line in kept if line is not None) + "\n")


def test_frames_are_whole_and_start_where_the_target_is_first_seen(walk):
    change_lines(walk / "A.csv", {2: None, 3: "1,0,0,0,0,0"})
    (sequence,) = read_paired(walk)
    assert (sequence.name, sequence.first, len(sequence.boxes)) == ("walk/A", 2, 58)
    for index, (visible, thermal) in enumerate(sequence.images()):
        assert visible.shape == (120, 160, 3) and thermal.shape == (120, 160)
        x, y, w, h = sequence.boxes[index]
        assert x == 8 + 2 * index
        if x + w < 160:  # the target is bright where the box says, and the image dark beside it
            row, middle, beside = int(y + h / 2), int(x + w / 2), int(x) - 4
            assert visible[row, middle].min() > 200 and visible[row, beside].max() < 150 and thermal[row, middle] > 200
    assert index == 57


def test_frames_count_where_the_target_is_known_to_be_seen(walk):
    absent, outside, unlabelled = {5: "3,0,0,0,0,0"}, {6: "4,150,40,24,48,1"}, {7: None}
    at_the_edge = {8: "6,140,40,24,48,1"}
    change_lines(walk / "A.csv", absent | outside | unlabelled | at_the_edge)
    (sequence,) = read_paired(walk.parent)
    assert np.flatnonzero(~sequence.present).tolist() == [3, 4, 5]
    assert sequence.boxes[6].tolist() == [140, 40, 20, 48]  # cut at the image's edge
    assert len(list(sequence.head(7).images())) == 7


def test_more_starts_are_at_frames_that_show_the_target(walk):
    change_lines(walk / "A.csv", {42: "40,0,0,0,0,0"})
    (sequence,) = read_paired(walk)
    starts = sequence.anchored(20)
    assert starts[0] is sequence
    assert [(start.name, start.first, len(start.boxes)) for start in starts[1:]] == [("walk/A@20", 20, 40)]
    visible, _ = next(starts[1].images())
    x, y, w, h = starts[1].boxes[0]
    assert visible[int(y + h / 2), int(x + w / 2)].min() > 200
    assert starts[1].present.tolist() == sequence.present[20:].tolist()


def test_every_third_frame_and_starts_among_those(walk):
    (sequence,) = read_paired(walk)
    whole = [visible for visible, _ in sequence.images()]
    seen = sequence.stepped(3)
    late = seen.anchored(8)[1]
    assert (seen.step, len(seen.boxes), late.first) == (3, 20, 24)
    for part, frames in ((seen, whole[::3]), (late, whole[24::3])):
        np.testing.assert_array_equal([visible for visible, _ in part.images()], frames)
        np.testing.assert_array_equal(part.boxes, sequence.boxes[part.first :: 3])
    with pytest.raises(DatasetError, match="walk/A: of every 60 frames only the very first shows the target"):
        sequence.stepped(60)


def test_a_folder_of_images_has_the_parts_of_the_video(walk):
    (video,) = read_paired(walk)
    images = walk.parent / "images" / "walk"
    (images / "visible").mkdir(parents=True)
    for index, (visible, _) in enumerate(video.images()):
        cv2.imwrite(str(images / "visible" / f"{index}.png"), visible[..., ::-1])
    shutil.copy(walk / "A.csv", images)
    (folder,) = read_folders(images.parent)
    part, wanted = (sequence.stepped(3).anchored(8)[1].head(5) for sequence in (folder, video))
    assert (part.name, part.modalities) == ("walk_A@8", ("visible",))
    np.testing.assert_array_equal(part.boxes, wanted.boxes)
    np.testing.assert_array_equal(part.present, wanted.present)
    np.testing.assert_array_equal([seen for seen, _ in part.images()], [seen for seen, _ in wanted.images()])
    with pytest.raises(DatasetError, match="nowhere: no such folder"):
        read_folders(walk / "nowhere")


def test_a_moving_camera_shows_the_target_elsewhere_and_the_boxes_say_where(walk):
    (sequence,) = read_paired(walk)
    seen, again = moved(sequence, 4), moved(sequence, 4)
    np.testing.assert_array_equal(seen.boxes, again.boxes)
    steps = np.diff(seen.boxes[:, :2] - sequence.boxes[:, :2], axis=0)
    assert 2 < np.sqrt(np.square(steps).mean()) < 5
    for box, moved_box, plain, images in zip(sequence.boxes, seen.boxes, sequence.images(), seen.images(), strict=True):
        for before, after in zip(plain, images, strict=True):
            assert after.shape[:2] == (120 + seen.room, 160 + seen.room)
            np.testing.assert_array_equal(_cut(after, moved_box), _cut(before, box))


def _cut(image, box):
    x, y, w, h = box.astype(int)
    return image[y : y + h, x : x + w]


def test_listed_clips_of_one_modality(data_root, tmp_path):
    root = shutil.copytree(data_root / "single_modality", tmp_path / "single")
    (root / "some.txt").write_text("IR_ONE\nV_ONE\n")
    infrared, visible = read_single(root / "some.txt")
    assert (infrared.modalities, visible.modalities) == (("thermal",), ("visible",))
    shown, warm = next(infrared.images())
    assert shown is None and warm.shape == (120, 160)
    (root / "some.txt").write_text("V_ON\n")
    with pytest.raises(DatasetError, match="no visible/V_ON.csv or thermal/V_ON.csv.*did you mean 'V_ONE'"):
        read_single(root / "some.txt")


def test_what_is_wrong_in_a_clip_is_told_with_its_name(walk):
    (walk.parent / "empty").mkdir()
    with pytest.raises(DatasetError, match="empty: no clips, expected visible.mp4"):
        read_paired(walk.parent / "empty")
    change_lines(walk / "A.csv", {number: None for number in range(3, 62)})
    with pytest.raises(DatasetError, match="A.csv: the target is only in the last frame"):
        read_paired(walk)
    (walk / "A.csv").write_text("frame,x,y,w,h,visible\n0,1,1,5,5,0\n")
    with pytest.raises(DatasetError, match="A.csv: the target is never visible"):
        read_paired(walk)
    (walk / "thermal.mp4").unlink()
    with pytest.raises(DatasetError, match="walk/thermal.mp4: no such video"):
        read_paired(walk)


def test_a_frame_that_is_missing_is_told_with_its_video(walk):
    (sequence,) = read_paired(walk)
    (walk / "visible.mp4").write_bytes((walk / "visible.mp4").read_bytes()[:2000])
    with pytest.raises(DatasetError, match="walk/visible.mp4: frame 0 is missing or damaged"):
        list(sequence.images())
