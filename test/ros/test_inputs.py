"""What the node's inputs, over real DDS, say of cameras that give nothing to use."""

import math
import time

import numpy as np
import pytest
from sensor_msgs.msg import CameraInfo, CompressedImage, Image
from std_msgs.msg import Header

from tpf_ros.frame_buffer import FrameBuffer
from tpf_ros.image_encoding import encode_image
from tpf_ros.inputs import Inputs
from tpf_ros.modality_health import Health
from tpf_ros.parameters import Settings

IMAGE, COMPRESSED = "sensor_msgs/msg/Image", "sensor_msgs/msg/CompressedImage"


@pytest.fixture
def node(ros):
    node = ros.create_node("inputs", namespace="/inputs")
    yield node
    node.destroy_node()


@pytest.fixture
def camera(ros):
    """A node of another process, as far as DDS can tell: in one process a topic has one type."""
    context = ros.Context()
    ros.init(args=[], context=context)
    yield ros.create_node("camera", namespace="/inputs", context=context)
    ros.shutdown(context=context)


def listen(node, settings=Settings()) -> Inputs:
    return Inputs(node, settings, FrameBuffer(10**9), offer=lambda frame: None, on_camera=lambda: None)


def until(ros, node, condition, each=lambda: None):
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        each()
        ros.spin_once(node, timeout_sec=0.05)


def test_a_silent_camera_s_topic_is_empty_or_of_another_type_or_right(ros, node, camera):
    inputs = listen(node)
    assert inputs.unheard("visible") == "nobody publishes there"
    camera.create_publisher(CompressedImage, "visible/image", 1)
    said = f"{COMPRESSED} is published there, visible.transport raw takes {IMAGE}"
    until(ros, node, lambda: inputs.unheard("visible") == said)
    camera.create_publisher(Image, "thermal/image", 1)
    until(ros, node, lambda: inputs.unheard("thermal") == "")
    inputs.close()


def test_a_camera_without_stamps_is_silent_though_its_images_are_good(ros, node, camera):
    inputs, publisher = listen(node), camera.create_publisher(Image, "thermal/image", 1)
    image = encode_image(np.random.default_rng(0).integers(0, 255, (48, 64), np.uint8), "mono8", Header())
    until(ros, node, lambda: inputs.statistics["thermal"].received > 5, lambda: publisher.publish(image))
    assert inputs.health_now() == (Health.SILENT, Health.SILENT)
    assert "stamp is 0 s" in inputs.statistics["thermal"].last_bad
    inputs.close()


def test_a_camera_info_of_zeros_is_no_calibration(ros, node, camera):
    inputs, zeros = listen(node), CameraInfo(width=64, height=48)  # as drivers send it that know no calibration
    calibrated = CameraInfo(width=64, height=48, k=[50.0, 0.0, 31.5, 0.0, 50.0, 23.5, 0.0, 0.0, 1.0])
    publishers = [camera.create_publisher(CameraInfo, f"{name}/camera_info", 1) for name in ("visible", "thermal")]

    def send():
        for publisher, info in zip(publishers, (calibrated, zeros)):
            publisher.publish(info)

    until(ros, node, lambda: inputs.cameras["visible"] is not None, send)
    assert inputs.uncalibrated().startswith("waits for thermal/camera_info with a calibration: K not zero")
    inputs.close()


def test_a_camera_info_that_cannot_be_used_is_told_once_however_often_it_comes(ros, node, camera):
    calibrations = []
    inputs = Inputs(node, Settings(), FrameBuffer(10**9), lambda frame: None, lambda: calibrations.append(None))
    infos, images = camera.create_publisher(CameraInfo, "visible/camera_info", 1), []
    heard = node.create_subscription(CameraInfo, "visible/camera_info", images.append, 5)
    info = CameraInfo(width=320, height=240, k=[math.nan] * 9)
    until(ros, node, lambda: len(images) > 5, lambda: infos.publish(info))
    assert len(calibrations) == 1
    inputs.close()
    node.destroy_subscription(heard)
