"""The frame that the operator saw is found by either image's stamp, and memory stays bounded."""

import numpy as np
import pytest

from tpf_model.frame import Frame
from tpf_ros.frame_buffer import FrameBuffer, NoFrameYet, StampNotBuffered

MS = 1_000_000
START = 1_000_000 * MS


def frame(value: int = 0) -> Frame:
    return Frame(np.full((10, 20, 3), value, np.uint8), np.zeros((10, 20), np.uint8))


def filled(count: int, duration: int = 3000 * MS, period: int = 33 * MS, **limits) -> FrameBuffer:
    """Frames 0..count-1, thermal stamps 40 ms later than visible ones."""
    buffer = FrameBuffer(duration, **limits)
    for k in range(count):
        buffer.append(frame(k % 256), START + k * period, START + k * period + 40 * MS)
    return buffer


def number(found) -> int:
    return int(found.frame.visible[0, 0, 0])


def test_frames_are_found_by_either_stamp_exactly_or_nearest():
    buffer = filled(90)
    assert number(buffer.find(START + 50 * 33 * MS)) == 50
    assert number(buffer.find(START + 50 * 33 * MS + 15 * MS)) == 50
    assert number(buffer.find(START + 50 * 33 * MS + 40 * MS, thermal=True)) == 50
    assert number(buffer.find(0)) == 89


def test_since_gives_the_frames_to_replay_in_order():
    buffer = filled(90)
    assert [number(one) for one in buffer.since(buffer.find(START + 60 * 33 * MS).stamp)] == list(range(60, 90))


def test_an_empty_buffer_says_so():
    for stamp in (0, START):
        with pytest.raises(NoFrameYet, match="no usable image"):
            filled(0).find(stamp)


def test_stamps_outside_the_buffer_are_refused_with_what_there_is():
    buffer = filled(200)
    oldest = buffer.since(0)[0].stamp
    assert oldest == START + 109 * 33 * MS  # three seconds
    with pytest.raises(StampNotBuffered, match=r"1\.000 s older than the oldest .* buffered: 1003\.597 to 1006\.567 s"):
        buffer.find(oldest - 1000 * MS)
    with pytest.raises(StampNotBuffered, match=r"is 5\.000 s newer than the newest"):
        buffer.find(START + 199 * 33 * MS + 5000 * MS)
    with pytest.raises(StampNotBuffered, match="gap between images"):
        filled(5, period=1000 * MS).find(START + 1500 * MS)


def test_lone_frames_are_found_by_the_image_that_they_have():
    buffer = FrameBuffer(3000 * MS)
    buffer.append(Frame(frame().visible, None), START, None)
    buffer.append(Frame(None, frame().thermal), None, START + 50 * MS)
    assert buffer.find(START + 10 * MS).thermal_stamp is None
    assert buffer.find(START + 50 * MS).visible_stamp is None, "it is published under this stamp"
    assert buffer.find(START, thermal=True).visible_stamp is None
    assert [one.stamp for one in buffer.since(0)] == [START, START + 50 * MS]
    buffer = FrameBuffer(3000 * MS)
    buffer.append(Frame(frame().visible, None), START, None)
    with pytest.raises(StampNotBuffered, match="no thermal image"):
        buffer.find(START, thermal=True)


@pytest.mark.parametrize("offset", [-300 * MS, 300 * MS])
def test_with_a_thermal_clock_that_is_off_lone_frames_are_in_the_order_of_time(offset):
    buffer = FrameBuffer(3000 * MS)
    for k in range(20):
        alone = 5 <= k < 15  # for thermal
        time = START + k * 33 * MS
        image = None if alone else frame(k).visible
        buffer.append(Frame(image, frame().thermal), None if alone else time, time - offset, None, offset)
    assert len(buffer) == 20
    assert number(buffer.find(START + 3 * 33 * MS)) == 3
    lone = buffer.find(START + 10 * 33 * MS - offset)
    assert lone.time == START + 10 * 33 * MS
    assert [one.time for one in buffer.since(lone.time)] == [START + k * 33 * MS for k in range(10, 20)]


def test_memory_is_bounded_whatever_the_rate_but_the_newest_frame_stays():
    buffer = filled(1000, period=MS, max_bytes=50 * 800)
    assert len(buffer) == 50 and number(buffer.find(0)) == 999 % 256
    assert len(filled(5, max_bytes=1)) == 1


def test_images_are_kept_not_copied():
    buffer, one = FrameBuffer(3000 * MS), frame()
    buffer.append(one, START, START)
    assert buffer.find(0).frame.visible is one.visible


def test_a_clock_that_falls_back_empties_the_buffer():
    buffer = filled(90)
    buffer.append(frame(7), START, START)
    assert len(buffer) == 1 and number(buffer.find(START)) == 7
