import av
import numpy as np
import pytest

from tpf_ros.video_writer import VideoWriter


def frames(width: int, height: int, count: int) -> list[np.ndarray]:
    row, column = np.mgrid[:height, :width]
    levels = [np.full_like(row, 20 * number) for number in range(count)]
    return [np.stack([column % 256, row % 256, level], axis=-1).astype(np.uint8) for level in levels]


@pytest.mark.parametrize(
    ("size", "suffix"), [((160, 120), ".mp4"), ((161, 121), ".mp4"), ((160, 120), ".mkv"), ((160, 120), ".avi")]
)
def test_the_frames_come_back_from_a_video_that_plays_everywhere(tmp_path, size, suffix):
    path = tmp_path / f"out{suffix}"
    written = frames(*size, count=7)
    with VideoWriter(path, 29.97) as writer:
        for image in written:
            writer.write(image)
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        assert (stream.codec_context.codec.name, stream.codec_context.pix_fmt) == ("h264", "yuv420p")
        assert float(stream.average_rate) == pytest.approx(29.97, rel=1e-3)
        decoded = list(container.decode(stream))
    read = [frame.to_ndarray(format="rgb24")[: size[1], : size[0]] for frame in decoded]
    assert len(read) == len(written)
    assert np.diff([frame.time for frame in decoded]) == pytest.approx(1 / 29.97, abs=2e-3)
    for before, after in zip(written, read):
        assert np.abs(before.astype(int) - after).mean() < 6


def test_what_cannot_be_written_is_an_error_at_once(tmp_path):
    with pytest.raises(ValueError, match=r"out\.png.*\.mp4"):
        VideoWriter(tmp_path / "out.png", 30)
    with pytest.raises(OSError):
        VideoWriter(tmp_path / "missing" / "out.mp4", 30)


def test_a_frame_of_another_size_is_resized_to_the_first_ones(tmp_path):
    with VideoWriter(tmp_path / "out.mp4", 30) as writer:
        for size, level in (((161, 120), 50), ((80, 60), 100), ((320, 300), 200)):
            writer.write(np.full((*size[::-1], 3), level, np.uint8))
    with av.open(str(tmp_path / "out.mp4")) as container:
        read = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    assert [image.shape for image in read] == [(120, 162, 3)] * 3
    assert [image.mean() for image in read] == pytest.approx([50, 100, 200], abs=4)


def test_a_video_without_frames_leaves_no_file(tmp_path):
    VideoWriter(tmp_path / "out.mp4", 30).close()
    assert not (tmp_path / "out.mp4").exists()


def test_a_frame_with_a_time_is_shown_until_the_next_one(tmp_path):
    with VideoWriter(tmp_path / "out.mp4", 30) as writer:
        for ms in (0, 500, 2000, 2001, 1900):  # the last ones too near, and back in time
            writer.write(np.full((32, 32, 3), ms / 10, np.uint8), 10**18 + ms * 10**6)
    with av.open(str(tmp_path / "out.mp4")) as container:
        times = [frame.time for frame in container.decode(video=0)]
    assert times == pytest.approx([0, 0.5, 2, 2 + 1 / 30, 2 + 2 / 30])
