import pytest

from tpf_ros.boxes_csv import BoxRow
from tpf_ros.ground_truth import compare, read_ground_truth


def test_only_frames_with_a_visible_target_have_a_box(tmp_path):
    path = tmp_path / "A.csv"
    path.write_text("frame,x,y,w,h,visible\n5,1.5,2,3,4,1\n6,0,0,0,0,0\n7,2,2,3,4,1\n")
    assert read_ground_truth(path) == {5: (1.5, 2.0, 3.0, 4.0), 7: (2.0, 2.0, 3.0, 4.0)}


def test_the_overlap_leaves_out_the_given_box_and_frames_without_truth():
    truth = {0: (0, 0, 10, 10), 1: (0, 0, 10, 10), 2: (0, 0, 10, 10), 4: (0, 0, 10, 10)}
    boxes = [(0, 0, 10, 10), (0, 0, 10, 10), (0, 0, 10, 20), (50, 50, 10, 10), (50, 50, 10, 10)]
    rows = [BoxRow(frame, frame, box, 1.0, "tracking") for frame, box in enumerate(boxes)]
    overlap = compare(rows, truth)
    assert overlap.frames == 3
    assert (overlap.mean_iou, overlap.success) == (pytest.approx((1 + 0.5 + 0) / 3), pytest.approx(1 / 3))


def test_each_frame_counts_once_with_its_first_box():
    rows = [BoxRow(frame, 0, (x, 0, 10, 10), 1.0, "tracking") for frame, x in ((0, 0), (0, 5), (1, 0), (1, 50))]
    overlap = compare(rows, {0: (0, 0, 10, 10), 1: (0, 0, 10, 10)})
    assert (overlap.frames, overlap.mean_iou) == (1, 1)


def test_no_common_frame_is_no_overlap():
    assert compare([BoxRow(0, 0, (0, 0, 1, 1), 1.0, "tracking")], {0: (0, 0, 1, 1)}) is None


def test_a_bad_line_is_named(tmp_path):
    path = tmp_path / "A.csv"
    path.write_text("frame,x,y,w,h,visible\n5,1,2,3,4,1\n6,1,2,3,4,yes\n")
    with pytest.raises(ValueError, match=r"A\.csv, line 3"):
        read_ground_truth(path)
