"""All rows of `tpf bench`, and the run that measures those that are wanted."""

import difflib
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from tpf_ros.bench import accuracy_rows, cpu_rows, error_rows, gpu_rows, start_rows
from tpf_ros.bench.conditions import Conditions
from tpf_ros.bench.row import Measured, NotMeasured, Results, Target


@dataclass(frozen=True)
class Experiment:
    """What is measured side by side, for several rows at once."""

    targets: tuple[Target, ...]
    measure: Callable[[Conditions], Results]


EXPERIMENTS = (
    Experiment(gpu_rows.ADAPTER, gpu_rows.measure_adapter),
    Experiment(gpu_rows.TRAINING, gpu_rows.measure_training),
    Experiment(gpu_rows.FRAME, gpu_rows.measure_frame),
    Experiment(gpu_rows.MEMORY, gpu_rows.measure_memory),
    Experiment(cpu_rows.ADAPTER, cpu_rows.measure_adapter),
    Experiment(cpu_rows.FRAME, cpu_rows.measure_frame),
    Experiment(cpu_rows.ENCODER_TIME, cpu_rows.measure_encoder),
    Experiment(accuracy_rows.INT8_SR, accuracy_rows.measure),
    Experiment(start_rows.CPU, start_rows.measure_cpu),
    Experiment(start_rows.GPU, start_rows.measure_gpu),
    Experiment(error_rows.SCANS, error_rows.measure_scans),
    Experiment(error_rows.SESSIONS, error_rows.measure_sessions),
    Experiment(gpu_rows.COMPILED, gpu_rows.measure_compiled),  # last, for nothing is to wait for what it compiles
)


def select(names: list[str]) -> set[str]:
    """The rows of these names or groups, all where there are none; ValueError for a name that does not exist."""
    targets = [target for experiment in EXPERIMENTS for target in experiment.targets]
    known = {target.name for target in targets} | {target.group for target in targets}
    for name in names:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(sorted(known))}"
            raise ValueError(f"--only: there is no row or group {name!r}; {hint}")
    return {target.name for target in targets if not names or target.name in names or target.group in names}


def measure(wanted: set[str], conditions: Conditions) -> Iterator[tuple[Target, Measured | NotMeasured]]:
    """Each wanted row and its result, in the table's order. What breaks one experiment leaves the others alone."""
    for experiment in EXPERIMENTS:
        targets = [target for target in experiment.targets if target.name in wanted]
        if not targets:
            continue
        try:
            results = experiment.measure(conditions)
        except NotMeasured as reason:
            results = {target.name: reason for target in targets}
        except Exception as error:
            failure = NotMeasured(f"failed: {type(error).__name__}: {error}", failed=True)
            results = {target.name: failure for target in targets}
        yield from ((target, results[target.name]) for target in targets)
