from pathlib import Path

import cv2
import numpy as np
from rosbags.rosbag2 import StoragePlugin, Writer

from tpf_ros.annotated_video import write_annotated_video
from tpf_ros.bag_types import COMPRESSED, TYPES, make_header
from tpf_ros.recording import Plan, Published, Recording, Sent
from tpf_ros.sources import open_source

START, PERIOD = 10**18, 100_000_000
TOPICS = ("/visible/image/compressed", "/thermal/image/compressed")


def jpeg(width: int, height: int) -> bytes:
    return cv2.imencode(".jpg", np.full((height, width, 3), 90, np.uint8))[1].tobytes()


def write_bag(path: Path, visible: list[bytes], thermal: list[bytes]) -> Path:
    with Writer(path, version=9, storage_plugin=StoragePlugin.MCAP) as writer:
        connections = [writer.add_connection(topic, COMPRESSED, typestore=TYPES) for topic in TOPICS]
        for i, images in enumerate(zip(visible, thermal)):
            stamp = START + i * PERIOD
            for connection, data in zip(connections, images):
                message = TYPES.types[COMPRESSED](make_header(stamp, "camera"), "jpeg", np.frombuffer(data, np.uint8))
                writer.write(connection, stamp, TYPES.serialize_cdr(message, COMPRESSED))
    return path


def test_damaged_images_and_those_of_another_size_do_not_end_the_video(tmp_path):
    good, small, damaged = jpeg(160, 120), jpeg(80, 60), b"\xff\xd8 cut"
    bag = write_bag(tmp_path / "bag", [good, damaged, small, good], [good, good, good, damaged])
    sent = [Sent(i, 0, START + i * PERIOD, START + i * PERIOD, 0) for i in range(4)]
    published = [Published(sent[0].stamp, sent[0].stamp + 1, 1, (10, 10, 20, 20), 0.9, "tracking", 0.01, 0.0)]
    recording = Recording(Plan(bag, *TOPICS, (10, 10, 20, 20), 0, tmp_path), sent, sent, published, {}, 0, 0, 1.0, 1)
    write_annotated_video(tmp_path / "annotated.mp4", recording, {})
    shapes = [item.load().shape for item in open_source(str(tmp_path / "annotated.mp4"), "visible")]
    assert shapes == [(148, 320, 3)] * 3  # a caption below both images
