"""CPU time that a 640x512 pair costs in the node besides the network: python benchmarks/bench_node_path.py

For each pair of encodings two numbers, both process CPU time (all threads) per pair:

- own: what the node does with the two messages once rclpy has them. Both callbacks (decoding, health, pairing,
  thermal normalisation, buffer), the target message with its bearing, and the publication of ~/target and ~/confidence,
  serialisation included. Measured pair by pair.
- received: a process that receives both topics from another process over DDS, at 30 Hz, and does the above; the `rclpy`
  column is the same process doing nothing with the messages: taking, deserialising, executor and DDS threads.

The model does not run. Images that a listener asks for (~/fused_image, ~/debug_image) come on top: see `encode` below.
"""

import argparse
import os
import subprocess
import sys
import threading
import time

import cv2
import numpy as np

os.environ.setdefault("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
os.environ.setdefault("ROS_DOMAIN_ID", str(150 + os.getpid() % 80))

import rclpy
from rclpy.lifecycle import LifecycleNode
from rclpy.qos import QoSProfile
from sensor_msgs.msg import CameraInfo, CompressedImage, Image
from std_msgs.msg import Header

from tpf_model.tracker import State
from tpf_ros.bearings import camera_from_info
from tpf_ros.dds_profile import image_profile
from tpf_ros.frame_buffer import FrameBuffer
from tpf_ros.image_encoding import encode_image
from tpf_ros.inputs import SENSOR_QOS, Inputs
from tpf_ros.parameters import Settings
from tpf_ros.publishers import Publishers
from tpf_ros.stamps import to_stamp
from tpf_ros.worker import Result

WIDTH, HEIGHT, RATE = 640, 512, 30
PERIOD = 1_000_000_000 // RATE
CASES = [  # visible, thermal
    ("bgr8", "mono8"),
    ("rgb8", "mono8"),
    ("bgr8", "16UC1"),
    ("bgra8", "mono16"),
    ("nv12", "mono16"),
    ("yuyv", "mono8"),
    ("bayer_rggb8", "32FC1"),
    ("jpeg", "png"),
]
_BYTES = {"bgra8": (1, 4), "16UC1": (1, 2), "mono16": (1, 2), "yuyv": (1, 2), "32FC1": (1, 4), "nv12": (1.5, 1)}


def make_message(encoding: str, seed: int):
    """A noisy image (a smooth one where it is compressed), as a camera driver sends it."""
    rng = np.random.default_rng(seed)
    if encoding in ("jpeg", "png"):
        small = rng.integers(30, 220, (16, 20, 3) if encoding == "jpeg" else (16, 20), dtype=np.uint8)
        image = cv2.resize(small, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC)
        if encoding == "png":
            image = image.astype(np.uint16) * 64  # 14 bit
        message = CompressedImage(format=encoding)
        message.data.frombytes(cv2.imencode(f".{encoding}", image)[1])
        return message
    rows, columns = _BYTES.get(encoding, (1, 3 if encoding in ("bgr8", "rgb8") else 1))
    if encoding == "32FC1":
        data = rng.uniform(280, 320, (HEIGHT, WIDTH)).astype(np.float32)
    else:
        data = rng.integers(30, 220, (int(HEIGHT * rows), WIDTH * columns), dtype=np.uint8)
    message = Image(width=WIDTH, height=HEIGHT, encoding=encoding, step=WIDTH * columns)
    message.data.frombytes(np.ascontiguousarray(data).view(np.uint8).reshape(-1))
    return message


def make_pairs(visible: str, thermal: str, count: int = 8) -> list[tuple]:
    return [(make_message(visible, 2 * k), make_message(thermal, 2 * k + 1)) for k in range(count)]


def topic(stream: str, encoding: str) -> str:
    return f"{stream}/image/compressed" if encoding in ("jpeg", "png") else f"{stream}/image"


class Path:
    """The node's inputs and publishers, with a made-up result in the model's place."""

    def __init__(self, visible: str, thermal: str):
        self.node = LifecycleNode("bench_node_path")
        transport = {"visible.transport": "compressed", "thermal.transport": "compressed"} if visible == "jpeg" else {}
        self.publishers = Publishers(self.node, "search")
        info = CameraInfo(width=WIDTH, height=HEIGHT, distortion_model="plumb_bob", d=[-0.3, 0.1, 0.0, 0.0, 0.0])
        info.k = [500.0, 0.0, 320.0, 0.0, 500.0, 256.0, 0.0, 0.0, 1.0]
        self.publishers.camera = camera_from_info(info)
        self.node.trigger_configure()
        self.node.trigger_activate()
        self.pairs = 0
        buffer = FrameBuffer(3_000_000_000)
        self.inputs = Inputs(self.node, Settings.from_values(transport), buffer, self._process, lambda: None)
        by_topic = {one.topic_name.strip("/"): one.callback for one in self.node.subscriptions}
        self.callbacks = [by_topic[topic("visible", visible)], by_topic[topic("thermal", thermal)]]

    def _process(self, seen) -> None:
        self.pairs += 1
        box, size = (300.0, 200.0, 40.0, 60.0), seen.frame.size
        self.publishers.publish(Result(seen, seen.note.health, State.TRACKING, 1, box, 0.9, size))


def bench_own(visible: str, thermal: str, count: int) -> np.ndarray:
    """(count,) CPU ms per pair, from both messages in hand to the publication."""
    path, pairs = Path(visible, thermal), make_pairs(visible, thermal)
    spent, start = [], time.time_ns()
    for k in range(count + 20):
        for message in (messages := pairs[k % len(pairs)]):
            message.header.stamp = to_stamp(start + k * PERIOD)
        begin = time.process_time_ns()
        for callback, message in zip(path.callbacks, messages):
            callback(message)
        spent.append((time.process_time_ns() - begin) * 1e-6)
    if path.pairs != len(spent):
        raise RuntimeError(f"{path.pairs} pairs came out of {len(spent)}")
    path.inputs.close()
    path.node.destroy_node()
    return np.array(spent[20:])


def publish(visible: str, thermal: str) -> None:
    """The camera process: both topics at RATE until it is terminated."""
    rclpy.init()
    node = rclpy.create_node("bench_camera")
    pairs = make_pairs(visible, thermal)
    publishers = [
        node.create_publisher(type(message), topic(stream, encoding), QoSProfile(depth=1))
        for stream, encoding, message in zip(("visible", "thermal"), (visible, thermal), pairs[0])
    ]
    due, k = time.monotonic(), 0
    while rclpy.ok():
        for publisher, message in zip(publishers, pairs[k % len(pairs)]):
            message.header.stamp = to_stamp(time.time_ns() // PERIOD * PERIOD)
            publisher.publish(message)
        k, due = k + 1, due + 1 / RATE
        time.sleep(max(0.0, due - time.monotonic()))


def bench_received(visible: str, thermal: str, seconds: float, work: bool) -> float:
    """CPU ms per received pair of this process, with the node's work or without."""
    if work:
        path = Path(visible, thermal)
        node, received = path.node, lambda: path.pairs
    else:
        node, count = rclpy.create_node("bench_nothing"), [0, 0]
        received = lambda: min(count)  # noqa: E731
        for which, (stream, encoding) in enumerate((("visible", visible), ("thermal", thermal))):
            kind = CompressedImage if encoding in ("jpeg", "png") else Image

            def callback(_, which=which):
                count[which] += 1

            node.create_subscription(kind, topic(stream, encoding), callback, SENSOR_QOS)
    executor = rclpy.executors.SingleThreadedExecutor()
    executor.add_node(node)
    stop = threading.Event()
    begin_pairs = begin_cpu = None
    due = time.monotonic() + 120
    while not stop.is_set():
        executor.spin_once(timeout_sec=0.1)
        if begin_pairs is None and received() >= RATE:
            begin_pairs, begin_cpu, due = received(), time.process_time(), time.monotonic() + seconds
        if time.monotonic() > due:
            stop.set()
    if begin_pairs is None:
        raise RuntimeError("no images arrived from the camera process")
    spent, pairs = time.process_time() - begin_cpu, received() - begin_pairs
    executor.shutdown()
    node.destroy_node()
    return spent / pairs * 1e3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=300, help="pairs measured one by one for each case")
    parser.add_argument("--seconds", type=float, default=6.0, help="of reception measured for each case; 0: none")
    parser.add_argument("--publish", nargs=2, metavar=("VISIBLE", "THERMAL"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.publish:
        return publish(*arguments.publish)
    rclpy.init(args=["--ros-args", "--log-level", "error"])
    print(f"CPU ms per {WIDTH}x{HEIGHT} pair; own: median, 5 % to 95 % of {arguments.pairs} pairs")
    print(f"{'visible':12} {'thermal':8} {'own':>6} {'5 %':>6} {'95 %':>6} {'received':>9} {'rclpy':>6}")
    for visible, thermal in CASES:
        own = bench_own(visible, thermal, arguments.pairs)
        low, median, high = np.percentile(own, (5, 50, 95))
        line = f"{visible:12} {thermal:8} {median:6.2f} {low:6.2f} {high:6.2f}"
        if arguments.seconds:
            command = [sys.executable, __file__, "--publish", visible, thermal]
            camera = subprocess.Popen(command, env={**os.environ, **image_profile()})
            try:
                line += f" {bench_received(visible, thermal, arguments.seconds, work=True):9.2f}"
                line += f" {bench_received(visible, thermal, arguments.seconds, work=False):6.2f}"
            finally:
                camera.terminate()
                camera.wait()
        print(line, flush=True)
    image, header = np.zeros((HEIGHT, WIDTH, 3), np.uint8), Header()
    begin = time.process_time_ns()
    for _ in range(100):
        encode_image(image, "rgb8", header)
    print(f"encode: {(time.process_time_ns() - begin) * 1e-8:.2f} ms for a 640x512 rgb8 image that someone listens to")
    rclpy.try_shutdown()


if __name__ == "__main__":
    main()
