"""Which sequences a process takes, where several run one evaluation, on one machine or on many."""

import os
from collections.abc import Mapping
from dataclasses import dataclass

from tpf_training.evaluation.one_pass import EvaluationError

# Who starts the processes, and where it says which one of how many this is, on all machines and on its own.
LAUNCHERS = {
    "torchrun": ("RANK", "WORLD_SIZE", "LOCAL_RANK"),
    # Not SLURM_NTASKS: that a batch script has, too, which is one process, of however many tasks it may start.
    "SLURM": ("SLURM_PROCID", "SLURM_STEP_NUM_TASKS", "SLURM_LOCALID"),
}


@dataclass(frozen=True)
class Rank:
    """Process `index`, 0 being the first, of `count`; `local` is its number on its machine."""

    index: int = 0
    count: int = 1
    local: int = 0


def this_rank(environment: Mapping[str, str] = os.environ) -> Rank:
    """As torchrun or SLURM says, otherwise the only one; EvaluationError where what they say makes no sense."""
    for launcher, (index, count, local) in LAUNCHERS.items():
        if index in environment and count in environment:
            said = [environment[index], environment[count], environment.get(local, "0")]
            if not all(text.isdigit() for text in said) or not int(said[0]) < int(said[1]):
                values = ", ".join(f"{name}={value}" for name, value in zip((index, count, local), said))
                raise EvaluationError(f"{launcher}: {values} make no sense")
            return Rank(*map(int, said))
    return Rank()


def share_of(frames: Mapping[str, int], rank: Rank) -> list[str]:
    """The sequences that `rank` takes, the longest first, so that all ranks have about as many frames.

    frames: how many each sequence has. All ranks must give the same, whatever is done already: together they take every
    sequence once.
    """
    loads, share = [0] * rank.count, []
    for name in sorted(frames, key=lambda name: (-frames[name], name)):
        lightest = loads.index(min(loads))
        loads[lightest] += frames[name]
        if lightest == rank.index:
            share.append(name)
    return share
