"""A process of its own that publishes a bag's visible and thermal images in real time, as two cameras would.

What is published when, with which stamp, is `bag_schedule.py`'s; here a time of 0 becomes the moment of the start. So
the age of what the tracker publishes is the tracker's and not the recording's. Nothing is queued: what is late is
published at once. It is its own process so that publishing does not share Python's interpreter lock with whoever
measures.

It speaks in lines of JSON on standard output: {"ready": true} when both streams have a subscriber; then, after a line
on standard input, {"begin": ns}, the moment of the start, and one line an image, {"stream", "frame", "repeat", "stamp",
"published", "late"}: index in its stream, pass over the bag, new stamp and time of publication in ns, ns behind
schedule; {"end": true} last. It stops early on SIGTERM and when standard input closes, so it does not outlive its
parent.
"""

import argparse
import json
import signal
import sys
import threading
import time
from itertools import chain
from pathlib import Path

import rclpy
from rclpy.qos import QoSProfile
from rclpy.signals import SignalHandlerOptions
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from tpf_ros.bag_schedule import STAMPED_TYPES, restamp, schedule, with_info_topics
from tpf_ros.sources.bag import open_reader

_CLASSES = {
    "Image": (Image, "image"),
    "CompressedImage": (CompressedImage, "image/compressed"),
    "CameraInfo": (CameraInfo, "camera_info"),
}


def main() -> None:
    args = _parser().parse_args()
    stop, go = threading.Event(), threading.Event()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    threading.Thread(target=_listen, args=(go, stop), daemon=True).start()
    rclpy.init(args=[], signal_handler_options=SignalHandlerOptions.NO)
    node = rclpy.create_node("tpf_bag_player", namespace=args.namespace)
    try:
        _play(node, args, go, stop)
    finally:
        node.destroy_node()
        rclpy.shutdown()


def _listen(go: threading.Event, stop: threading.Event) -> None:
    """Standard input: a line is the signal to start, its end the signal to stop."""
    if sys.stdin.readline():
        go.set()
        sys.stdin.read()
    stop.set()


def _play(node, args: argparse.Namespace, go: threading.Event, stop: threading.Event) -> None:
    topics = with_info_topics(args.visible, args.thermal)
    publishers = _create_publishers(node, args.bag, topics)
    images = [publisher for (_, kind), publisher in publishers.items() if kind == "image"]
    while not all(publisher.get_subscription_count() for publisher in images):
        if stop.wait(0.02):
            return
    _say(ready=True)
    while not go.wait(0.1):
        if stop.is_set():
            return
    items = schedule(args.bag, topics, args.passes, args.rate)
    first = next(items)  # opens the bag, which takes a while
    begin = time.time_ns()
    _say(begin=begin)
    for item in chain([first], items):
        if args.duration and item.due >= args.duration * 1e9:
            break
        if stop.wait(max(0, begin + item.due - time.time_ns()) / 1e9):
            return
        published, stamp = time.time_ns(), begin + item.stamp
        publishers[item.stream, item.kind].publish(restamp(item.message, stamp))
        if item.kind == "image":
            late = published - begin - item.due
            _say(stream=item.stream, frame=item.frame, repeat=item.repeat, stamp=stamp, published=published, late=late)
    _say(end=True)


def _create_publishers(node, bag: Path, topics: dict[str, str]) -> dict:
    """A publisher for each stream and kind in the bag, on the node's input names."""
    publishers = {}
    with open_reader(bag) as reader:
        for connection in reader.connections:
            if connection.topic in topics and connection.msgtype in STAMPED_TYPES:
                stream, kind = topics[connection.topic], STAMPED_TYPES[connection.msgtype]
                message_class, name = _CLASSES[connection.msgtype.rsplit("/", 1)[1]]
                publishers[stream, kind] = node.create_publisher(message_class, f"{stream}/{name}", QoSProfile(depth=5))
    return publishers


def _say(**fields) -> None:
    print(json.dumps(fields), flush=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="publish a bag's visible and thermal images in real time")
    parser.add_argument("bag", type=Path)
    parser.add_argument("--visible", required=True, help="image topic in the bag")
    parser.add_argument("--thermal", required=True, help="image topic in the bag")
    parser.add_argument("--namespace", default="/", help="of the node that listens to visible/image and thermal/image")
    parser.add_argument("--rate", type=float, default=1.0)
    parser.add_argument("--passes", type=int, default=1, help="over the bag; 0 = until stopped")
    parser.add_argument("--duration", type=float, default=0.0, help="stop after so many seconds; 0 = after the passes")
    return parser


if __name__ == "__main__":
    main()
