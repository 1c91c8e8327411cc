"""The same boxes through DDS as offline, for the same pairs: the real node, in lock-step, against `tpf track`."""

import time
from contextlib import ExitStack
from pathlib import Path

import pytest
import rclpy
from rclpy.executors import SingleThreadedExecutor
from sensor_msgs.msg import Image

from tpf_interfaces.srv import InitTarget
from tpf_ros import cli
from tpf_ros.bag_schedule import restamp, schedule
from tpf_ros.bag_writer import Stream, write_bag
from tpf_ros.boxes_csv import read_boxes
from tpf_ros.ground_truth import read_ground_truth
from tpf_ros.node_process import activate, start_node
from tpf_ros.parameter_file import NODE
from tpf_ros.recorder import Recorder
from tpf_ros.sources import open_source
from tpf_ros.stamps import to_stamp

CLIP = Path(__file__).parents[1] / "data/0117_1620"
FIRST, COUNT = 95, 12
TOPICS = {"/visible/image": "visible", "/thermal/image": "thermal"}
# One thread: sums in another order would differ in the last bits. No timeouts: the test waits for each result, however
# slow the machine is. No thresholds: the box follows an untrained network's low scores, and templates change.
PARAMETERS = """
/**:
  ros__parameters:
    model: tiny
    weights: random
    device: cpu
    threads: 1
    health.silent_after: 60.0
    output.timeout: 60.0
    buffer.duration: 30.0
    tracker.coast_score: 0.0
    tracker.recover_score: 0.0
    tracker.template_score: 0.0
    tracker.template_interval: 4
"""


@pytest.fixture(scope="module")
def bag(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("lock_step") / "bag"
    streams = [Stream(open_source(str(CLIP / f"{name}.mp4"), name), topic, "camera") for topic, name in TOPICS.items()]
    write_bag(path, streams, FIRST, FIRST + COUNT - 1)
    return path


def test_the_node_gives_the_boxes_that_tpf_track_gives(bag, tmp_path, domain_id):
    params_file = tmp_path / "parameters.yaml"
    params_file.write_text(PARAMETERS)
    box = read_ground_truth(CLIP / "A.csv")[FIRST]
    live = track_through_dds(bag, box, params_file, tmp_path / "node.log", domain_id)

    out = tmp_path / "boxes.csv"
    arguments = ["track", "--visible", f"{bag}:/visible/image", "--thermal", f"{bag}:/thermal/image"]
    arguments += ["--init", ",".join(map(str, box)), "--params-file", str(params_file), "--out", str(out)]
    assert cli.main(arguments) == 0
    offline = read_boxes(out)

    assert len(live) == len(offline) == COUNT
    for result, row in zip(live, offline):
        assert result.box == pytest.approx(row.box, abs=2e-3)  # boxes.csv has three decimals
        assert result.score == pytest.approx(row.score, abs=2e-4)
        assert result.state == row.state
    assert len({result.box for result in live}) == COUNT  # the target moved: equal boxes say something


def track_through_dds(bag: Path, box, params_file: Path, log: Path, domain: int) -> list:
    """The node's result for each pair, in order; each pair is published when the result of the one before is here."""
    with ExitStack() as stack:
        context = rclpy.Context()
        rclpy.init(args=[], context=context, domain_id=domain)
        stack.callback(rclpy.shutdown, context=context)
        observer = rclpy.create_node("lock_step", context=context)
        executor = SingleThreadedExecutor(context=context)
        executor.add_node(observer)
        stack.callback(observer.destroy_node)
        node = start_node(log, params_file=params_file)
        stack.callback(node.stop)
        activate(observer, node)
        recorder = Recorder(observer)
        publishers = {name: observer.create_publisher(Image, f"{name}/image", 5) for name in TOPICS.values()}
        init = observer.create_client(InitTarget, f"{NODE}/init")

        def wait(condition, remind=lambda: None) -> None:
            deadline = time.monotonic() + 120
            reminder = time.monotonic() + 5
            while not condition():
                node.check()
                assert time.monotonic() < deadline, log.read_text()
                if time.monotonic() > reminder:
                    remind()
                    reminder = time.monotonic() + 5
                executor.spin_once(0.05)

        wait(lambda: all(p.get_subscription_count() for p in publishers.values()) and init.service_is_ready())
        wait(lambda: observer.count_publishers(f"{NODE}/target"))
        begin = time.time_ns()
        pair = {}
        for item in schedule(bag, TOPICS):
            stamp = begin + item.stamp
            pair[item.stream] = restamp(item.message, stamp)
            if item.stream == "visible":
                continue

            def send() -> None:
                """Again after a while: delivery is best effort, and the node ignores a repeated stamp."""
                for name, publisher in publishers.items():
                    publisher.publish(pair[name])

            send()
            wait(lambda: recorder.newest and recorder.newest.stamp == stamp, send)
            if item.frame == 0:
                x, y, width, height = box
                request = InitTarget.Request(stamp=to_stamp(stamp), x=x, y=y, width=width, height=height)
                future = init.call_async(request)
                wait(future.done)
                assert future.result().success, future.result().message
                wait(lambda: recorder.newest.id == future.result().id)
        return [result for result in recorder.published if result.id]
