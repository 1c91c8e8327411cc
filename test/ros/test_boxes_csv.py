import pytest

from tpf_ros.boxes_csv import BoxesWriter, BoxRow, format_stamp, parse_stamp, read_boxes

ROWS = [
    BoxRow(88, 1_700_000_000_123_456_789, (539.0, 134.25, 101.5, 262.0), 1.0, "tracking"),
    BoxRow(89, 1_700_000_000_156_790_123, (-3.125, 134.0, 101.0, 262.0), 0.1234, "coasting"),
    BoxRow(90, 1_700_000_000_190_123_456, (0.0, 0.0, 10.0, 10.0), 0.0, "lost"),
]


def test_what_is_written_is_read_back_to_the_nanosecond(tmp_path):
    with BoxesWriter(tmp_path / "boxes.csv") as writer:
        for row in ROWS:
            writer.write(row)
    assert (tmp_path / "boxes.csv").read_text().splitlines()[:2] == [
        "frame,stamp,x,y,w,h,score,state",
        "88,1700000000.123456789,539.000,134.250,101.500,262.000,1.0000,tracking",
    ]
    assert read_boxes(tmp_path / "boxes.csv") == ROWS


def test_every_line_is_on_disk_before_the_file_is_closed(tmp_path):
    writer = BoxesWriter(tmp_path / "boxes.csv")
    for count, row in enumerate(ROWS, start=1):
        writer.write(row)
        assert read_boxes(tmp_path / "boxes.csv") == ROWS[:count]
    writer.close()


@pytest.mark.parametrize("stamp", [0, 1, 999_999_999, 10**9, 1_763_812_000_000_000_001, -1, -1_500_000_000])
def test_stamps_are_exact(stamp):
    assert parse_stamp(format_stamp(stamp)) == stamp


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("", "first line"),
        ("frame,x,y\n", "first line"),
        ("frame,stamp,x,y,w,h,score,state\n1,0.0,1,2,3,4,1.0,tracking\n2,0.1,1,2,3\n", "line 3"),
        ("frame,stamp,x,y,w,h,score,state\n1,0.0,1,2,three,4,1.0,tracking\n", "line 2"),
    ],
)
def test_a_bad_file_is_an_error_that_names_the_line(tmp_path, text, fault):
    path = tmp_path / "boxes.csv"
    path.write_text(text)
    with pytest.raises(ValueError, match=rf"boxes\.csv.*{fault}"):
        read_boxes(path)


def test_a_missing_file_is_an_error_that_names_it(tmp_path):
    with pytest.raises(ValueError, match="nothing.csv"):
        read_boxes(tmp_path / "nothing.csv")
