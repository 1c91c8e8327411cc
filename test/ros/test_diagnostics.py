"""What the diagnostics say of a camera's messages, and of how old results are."""

import math

import pytest
from diagnostic_msgs.msg import DiagnosticStatus

from tpf_model.registration import Registration
from tpf_model.tracker import State
from tpf_ros.diagnostics import Outcomes, Rates, input_report, pairing_report
from tpf_ros.frame_buffer import BufferedFrame
from tpf_ros.inputs import StreamStatistics
from tpf_ros.modality_health import Health
from tpf_ros.parameters import SyncSettings
from tpf_ros.synchroniser import open_synchroniser
from tpf_ros.worker import Result, Source

GOOD = (Health.OK, Health.OK)


def result(state, target_id):
    seen = BufferedFrame(None, 1, 1, Source(1, "visible", 0, GOOD))
    return Result(seen, GOOD, state, target_id, None, 0.0, (0, 0), Registration.identity())


def test_latencies_are_those_of_the_present_target():
    outcomes = Outcomes()
    for _ in range(5):
        outcomes.add(result(State.IDLE, 0), 0.001)
    for latency in (0.5, 0.1, 0.2):
        outcomes.add(result(State.TRACKING, 1), latency)
    outcomes.add(result(State.COASTING, 1), math.nan)
    assert outcomes.latencies() == pytest.approx([0.5, 0.1, 0.2])
    outcomes.add(result(State.TRACKING, 2), 0.3)
    assert outcomes.latencies() == pytest.approx([0.3])


def test_a_camera_whose_messages_are_all_bad_is_not_called_absent():
    statistics, rates = StreamStatistics("/thermal/image"), Rates()
    report = input_report("thermal", statistics, Health.SILENT, rates)
    assert (report.level, report.message) == (DiagnosticStatus.WARN, "no images on /thermal/image")
    statistics.bad["step is 3"] += 1
    statistics.last_bad = "step is 3"
    report = input_report("thermal", statistics, Health.SILENT, rates)
    assert report.message == "no usable images on /thermal/image: step is 3"
    assert input_report("thermal", statistics, Health.SILENT, rates).message == "no images on /thermal/image"


def test_a_camera_whose_driver_repeats_its_last_image_is_not_called_absent():
    statistics, rates = StreamStatistics("/t"), Rates()
    input_report("thermal", statistics, Health.OK, rates)
    statistics.received, statistics.repeats = 30, 30
    report = input_report("thermal", statistics, Health.SILENT, rates)
    assert report.message == "no usable images on /t: their stamp does not advance"


def test_repeated_images_are_not_taken_for_clocks_that_differ():
    synchroniser, rates = open_synchroniser("nearest", 20_000_000, 0, 500_000_000), Rates()
    report = lambda: pairing_report(synchroniser, SyncSettings(), Outcomes(), rates).message
    synchroniser.add_visible(10**9, None, 0)
    report()
    for k in range(1, 30):
        synchroniser.add_visible(10**9, None, k)
        synchroniser.add_thermal((2 + k) * 10**9, None, k)
    assert report() == "ok"
    for k in range(30, 60):
        synchroniser.add_visible(k * 10**9 + 400_000_000, None, k)
        synchroniser.add_thermal((2 + k) * 10**9, None, k)
    assert "no stamps match" in report()


def test_a_silent_camera_is_told_with_the_reason():
    report = input_report("thermal", StreamStatistics("/t"), Health.SILENT, Rates(), "nobody publishes there")
    assert (report.level, report.message) == (DiagnosticStatus.WARN, "no images on /t: nobody publishes there")
