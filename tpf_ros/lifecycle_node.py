"""The managed node `tpf_tracker`: connects inputs, worker, publishers and requests, and follows the lifecycle.

Two threads: the executor's, where every callback runs and none waits for the model, and the worker's, which runs the
model and publishes.
"""

import os
import time
from dataclasses import dataclass
from functools import partial

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from rclpy.clock import Clock
from rclpy.clock_type import ClockType
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from rclpy.qos import QoSProfile

from tpf_model.registration import Registration
from tpf_model.runtime import TPFSession
from tpf_ros.diagnostics import Outcomes, Rates, Report, input_report, pairing_report, tracker_report
from tpf_ros.frame_buffer import FrameBuffer
from tpf_ros.inputs import Inputs
from tpf_ros.node_parameters import NodeParameters
from tpf_ros.parameter_file import NODE
from tpf_ros.parameters import Settings, make_registration, make_session
from tpf_ros.provenance import provenance
from tpf_ros.publishers import Publishers
from tpf_ros.target_interface import TargetInterface
from tpf_ros.target_requests import NO_IMAGE_YET, NOT_ACTIVE, STAMP_TOO_OLD, Drawn, Refused, find_target
from tpf_ros.worker import Result, Worker


@dataclass(frozen=True)
class _Active:
    """What exists while the node is active."""

    buffer: FrameBuffer
    inputs: Inputs
    worker: Worker
    outcomes: Outcomes


class TrackerNode(LifecycleNode):
    """Unconfigured it has parameters, services and diagnostics; configured a loaded model; active it tracks."""

    def __init__(self):
        super().__init__(NODE)
        self._session: TPFSession | None = None
        self._outputs: Publishers | None = None
        self._active: _Active | None = None
        self._settings = Settings()
        self._finalized = False
        self._problem = ""  # why the last transition failed
        self._last_id = 0
        self._rates = Rates()
        self._parameter_set = NodeParameters(self, lambda: self._session is not None, self._on_settings)
        TargetInterface(
            self, self._init_target, self._reset, self._set_enabled, self._thermal_frame_id, self._click_size
        )
        self._diagnostics = self.create_publisher(DiagnosticArray, "/diagnostics", QoSProfile(depth=10))
        # Not the ROS clock: with use_sim_time, diagnostics and start-up must not wait for a clock.
        steady = Clock(clock_type=ClockType.STEADY_TIME)
        self.create_timer(1.0, self._publish_diagnostics, clock=steady)
        if self._parameter_set.values["autostart"]:
            self._autostart = self.create_timer(0.0, self._start, clock=steady)

    def close(self) -> None:
        """Stop the worker; for the end of the process, when no transition is possible any more."""
        if self._active is not None:
            self._active.worker.stop()

    # Lifecycle. rclpy turns an exception in these into ERROR without a word, so each says what is wrong itself.

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        try:
            self._configure()
        except Exception as error:
            return self._fail("configure", error)
        return super().on_configure(state)

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        try:
            self._activate()
        except Exception as error:
            return self._fail("activate", error)
        topics = " and ".join(statistics.topic for statistics in self._active.inputs.statistics.values())
        self.get_logger().info(f"ready: waiting for images on {topics}")  # tracker.launch.py starts a bag at this line
        return super().on_activate(state)

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        self._deactivate()
        return super().on_deactivate(state)

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        self._clean_up()
        return super().on_cleanup(state)

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        self._deactivate()
        self._clean_up()
        self._finalized, self._problem = True, ""
        return super().on_shutdown(state)

    def on_error(self, state: LifecycleState) -> TransitionCallbackReturn:
        self._deactivate()
        self._clean_up()
        return super().on_error(state)

    def _start(self) -> None:
        self._autostart.cancel()
        if self.trigger_configure() == TransitionCallbackReturn.SUCCESS and self.context.ok():
            self.trigger_activate()

    def _fail(self, transition: str, error: Exception) -> TransitionCallbackReturn:
        self._problem = f"cannot {transition}: {error}"
        if self.context.ok():  # else the process is ending, which makes calls fail
            self.get_logger().error(self._problem)
        return TransitionCallbackReturn.FAILURE

    def _configure(self) -> None:
        begin = time.monotonic()
        settings = self._parameter_set.settings()
        self.get_logger().info(f"loading the model, weights {settings.weights or 'as shipped'}")
        session = make_session(settings, settings.threads or max(1, len(os.sched_getaffinity(0)) - 1))
        self._outputs = Publishers(self, settings.fused_image.region)
        self._settings, self._session, self._problem = settings, session, ""
        info = session.info
        self.get_logger().info(
            f"model {info.model} on {info.device}: runtime {info.runtime}, scan {info.scan}, "
            f"precision {info.precision}, loaded in {time.monotonic() - begin:.1f} s; "
            f"weights: {provenance(info, settings.weights)}"
        )

    def _activate(self) -> None:
        settings, outcomes = self._settings, Outcomes()
        buffer = FrameBuffer(round(settings.buffer.duration * 1e9), settings.buffer.memory * 1_000_000)
        self._outputs.camera = None
        worker = Worker(
            self._session,
            settings,
            make_registration(settings),
            buffer,
            # Not `inputs`, which refer to the worker: a ring would keep the images and the model when they are over.
            health=lambda: self._active.inputs.health_now(),
            publish=lambda result: self._publish(result, outcomes),
            report=lambda text: self.get_logger().error(text, throttle_duration_sec=5.0),
        )
        inputs = Inputs(self, settings, buffer, worker.offer, self._on_camera)
        self._active, self._problem = _Active(buffer, inputs, worker, outcomes), ""
        worker.start()

    def _deactivate(self) -> None:
        if self._active is not None:
            self._active.inputs.close()
            self._active.worker.stop()
            self._active = None

    def _clean_up(self) -> None:
        if self._outputs is not None:
            self._outputs.close()
        self._outputs = self._session = None

    # From the worker's thread.

    def _publish(self, result: Result, outcomes: Outcomes) -> None:
        try:
            outcomes.add(result, self._outputs.publish(result))
        except Exception as error:
            if self.context.ok():  # else the process is ending
                self.get_logger().error(f"cannot publish: {error}", throttle_duration_sec=5.0)

    # From the executor's thread.

    def _on_settings(self, settings: Settings) -> None:
        self._settings = settings
        if self._outputs is not None:
            self._outputs.fused_region = settings.fused_image.region
        if self._active is not None:
            self._active.inputs.apply(settings)
            self._active.worker.apply(settings, self._registration())

    def _on_camera(self) -> None:
        self._outputs.camera = self._active.inputs.cameras["visible"]
        self._active.worker.apply(self._settings, self._registration())
        if self._active.inputs.distorted() and (problem := self._unregistered()):
            self.get_logger().warning(problem, throttle_duration_sec=60.0)

    def _unregistered(self) -> str:
        """What is wrong with the registration; empty where nothing is."""
        inputs = self._active.inputs
        if self._registration() is None:
            return f"{inputs.misfits() or f'registration.method plane {inputs.uncalibrated()}'}: thermal is not used"
        if self._settings.registration.method != "plane" or not inputs.distorted():
            return ""
        which = " and ".join(inputs.distorted())
        return f"registration.method plane is for rectified images: {which} images show their lens's distortion"

    def _registration(self) -> Registration | None:
        cameras = map(self._active.inputs.fitting, ("visible", "thermal"))
        matrices = [None if camera is None else camera.image_matrix for camera in cameras]
        try:
            return make_registration(self._settings, *matrices)
        except ValueError as error:
            self.get_logger().error(f"registration: {error}", throttle_duration_sec=5.0)
            return None

    def _running(self) -> _Active:
        if self._active is None:
            why = f" ({self._problem})" if self._problem else ""
            raise Refused(NOT_ACTIVE, f"the node is not active{why}; activate it first")
        return self._active

    def _init_target(self, drawn: Drawn) -> int:
        active = self._running()
        if not active.worker.enabled:
            raise Refused(NOT_ACTIVE, "tracking is switched off; call ~/set_enabled with true first")
        regions = active.worker.regions() if self._settings.fused_image.region == "search" else None
        find = partial(find_target, drawn, active.buffer, self._registration(), regions)
        try:
            seen, box = find()
        except Refused as refused:
            # The operator may have seen an image that waits for its partner.
            if refused.code not in (NO_IMAGE_YET, STAMP_TOO_OLD) or not active.inputs.let_out(drawn.stamp):
                raise
            seen, box = find()
        self._last_id += 1
        active.worker.init(seen, box, self._last_id)
        return self._last_id

    def _reset(self) -> None:
        self._running().worker.reset()

    def _set_enabled(self, enabled: bool) -> None:
        self._running().worker.enable(enabled)

    def _thermal_frame_id(self) -> str:
        """The thermal images' frame_id, empty where it says nothing: unknown, or the visible images' too."""
        if self._active is None:
            return ""
        visible, thermal = (one.frame_id for one in self._active.inputs.statistics.values())
        return "" if visible == thermal else thermal

    def _click_size(self) -> float:
        return self._settings.click.size

    def _publish_diagnostics(self) -> None:
        name = self.get_fully_qualified_name().lstrip("/")
        hardware = "" if self._session is None else f"{self._session.info.model} on {self._session.info.device}"
        message = DiagnosticArray(status=[report.status(name, hardware) for report in self._reports()])
        message.header.stamp = self.get_clock().now().to_msg()
        self._diagnostics.publish(message)

    def _reports(self) -> list[Report]:
        if self._active is None:
            state = "finalized" if self._finalized else "unconfigured" if self._session is None else "inactive"
            report = Report("tracker", {"state": state}, message=state)
            if self._problem:
                report.complain(DiagnosticStatus.ERROR, self._problem)
            return [report]
        inputs, worker = self._active.inputs, self._active.worker
        reports = [
            input_report(name, inputs.statistics[name], health, self._rates, inputs.unheard(name))
            for name, health in zip(("visible", "thermal"), inputs.health_now())
        ]
        reports.append(pairing_report(inputs.synchroniser, self._settings.sync, self._active.outcomes, self._rates))
        unregistered = self._unregistered()
        info, weights, outcomes = self._session.info, self._settings.weights, self._active.outcomes
        reports.append(tracker_report(worker, info, weights, outcomes, self._rates, unregistered))
        return reports
