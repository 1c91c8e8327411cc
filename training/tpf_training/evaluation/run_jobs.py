"""One-pass runs of trackers on sequences: one after the other, or in several processes, each with its own device."""

import dataclasses
import functools
import multiprocessing
import os
import threading
from collections.abc import Iterator, Sequence as Series
from concurrent.futures import BrokenExecutor, ProcessPoolExecutor, as_completed
from dataclasses import dataclass

from tpf_training.datasets.record import DatasetError
from tpf_training.evaluation.degradation import Degradation
from tpf_training.evaluation.entrants import Entrant, TPFEntrant
from tpf_training.evaluation.one_pass import EvaluationError, OnePassTracker, Run, Sequence, run_one_pass


@dataclass(frozen=True)
class Job:
    """One tracker on one sequence."""

    entrant: Entrant
    sequence: Sequence
    degradation: Degradation | None = None


def run_jobs(
    jobs: Series[Job], workers: int = 1, devices: Series[str] = ()
) -> Iterator[tuple[Job, Run | DatasetError]]:
    """Each job as it ends, with what the tracker said or what is wrong with the sequence.

    workers: processes, which take the jobs in turn; more than one take time from each other. devices: the n-th of
    several processes opens our trackers on the n-th of them, beginning anew after the last; empty: as each entrant
    says. EvaluationError where a tracker cannot be opened, or a process was killed; what ended before has been given.
    """
    if workers == 1:
        yield from ((job, _outcome(job)) for job in jobs)
        return
    # Not forked: neither PyTorch's nor OpenCV's threads survive that.
    context = multiprocessing.get_context("spawn")
    given, others = context.Queue(), multiprocessing.active_children()
    for worker in range(workers):
        given.put(devices[worker % len(devices)] if devices else None)
    with ProcessPoolExecutor(workers, context, _begin_worker, (given,)) as pool:
        futures = {pool.submit(_outcome_in_worker, job): job for job in jobs}
        try:
            for future in as_completed(list(futures)):
                yield futures.pop(future), future.result()
        except BrokenExecutor as error:
            raise EvaluationError("a process was killed, perhaps for want of memory: try fewer --workers") from error
        except BaseException:  # interrupted, or the caller cannot go on: whole sequences are not waited for
            for process in multiprocessing.active_children():
                if process not in others:
                    process.terminate()
            raise
        finally:
            pool.shutdown(cancel_futures=True)


@functools.lru_cache(maxsize=1)  # jobs come by entrant
def open_tracker(entrant: Entrant) -> OnePassTracker:
    """The tracker of `entrant`, opened once as long as the entrant stays the same; EvaluationError where it cannot."""
    return entrant.open()


def _outcome(job: Job) -> Run | DatasetError:
    tracker = open_tracker(job.entrant)
    try:
        return run_one_pass(tracker, job.sequence, job.degradation)
    except DatasetError as error:
        return error


_device: str | None = None  # that this worker's trackers run on, None: as the entrant says


def _begin_worker(devices: multiprocessing.Queue) -> None:
    global _device
    _device = devices.get()
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """Without this a worker whose parent was killed would wait for jobs for ever, and keep its GPU's memory."""
    multiprocessing.parent_process().join()
    os._exit(1)


def _outcome_in_worker(job: Job) -> Run | DatasetError:
    if _device is not None and isinstance(job.entrant, TPFEntrant):
        job = dataclasses.replace(job, entrant=dataclasses.replace(job.entrant, device=_device))
    return _outcome(job)
