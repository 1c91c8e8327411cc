"""Several trackers side by side on one set of sequences: numbers to keep, and tables to read."""

import numpy as np

from tpf_training.evaluation.entrants import Entrant, PeerEntrant
from tpf_training.evaluation.evaluate import Result
from tpf_training.evaluation.metrics.robustness import share_kept
from tpf_training.evaluation.one_pass import Sequence
from tpf_training.evaluation.table import Layout

MEANS = {"sr": "SR", "pr": "PR@20", "npr": "NPR@0.2", "kept": "kept", "kept_of_all_frames": "kept of all frames"}
EXPLANATION = """\
All in %, but FPS. SR: share of frames with IoU > t, mean over t = 0, 0.05 .. 1. PR: centre error <= 20 px. NPR: centre
error <= 0.2 target sizes. kept: IoU > 0.3. Means are over sequences, the second share kept is of all their frames.
The first frame, whose box is given, counts."""


def summarise(results: list[Result], sequences: list[Sequence]) -> dict:
    """All numbers, JSON-able; shares 0..1.

    `sequences`: by name, how many `frames` there are and in how many the target is `present`. `entrants`: by name,
    `mean` over sequences with the keys of MEANS and `fps`, and `sequences` with each one's `sr`, `pr`, `npr`, `kept`
    and `fps`.
    """
    by_entrant: dict[str, list[Result]] = {}
    for result in results:
        by_entrant.setdefault(result.entrant, []).append(result)
    return {
        "sequences": {s.name: {"frames": len(s.boxes), "present": int(s.present.sum())} for s in sequences},
        "entrants": {name: _entrant(group) for name, group in by_entrant.items()},
    }


def _entrant(results: list[Result]) -> dict:
    each = {result.sequence: result.scores.summary() for result in results}
    mean = {key: float(np.mean([scores[key] for scores in each.values()])) for key in ("sr", "pr", "npr", "kept")}
    mean["kept_of_all_frames"] = share_kept(np.concatenate([result.scores.overlaps for result in results]))
    mean["fps"] = sum(result.tracked for result in results) / sum(result.seconds for result in results)
    for result in results:
        each[result.sequence]["fps"] = result.tracked / result.seconds
    return {"mean": mean, "sequences": each}


def tables(summary: dict, layout: Layout) -> str:
    """The means, best SR first, then SR/kept of each sequence, drawn by `layout`."""
    entrants = dict(sorted(summary["entrants"].items(), key=lambda item: -item[1]["mean"]["sr"]))
    means = [
        [name, *(_percent(entrant["mean"][key]) for key in MEANS), f"{entrant['mean']['fps']:.1f}"]
        for name, entrant in entrants.items()
    ]
    each = [
        [f"{name} ({count['present']} of {count['frames']} frames)"]
        + [_both(entrant["sequences"][name]) for entrant in entrants.values()]
        for name, count in summary["sequences"].items()
    ]
    parts = layout(["tracker", *MEANS.values(), "FPS"], means), layout(["sequence: SR/kept", *entrants], each)
    return "\n\n".join(parts)


def leads(summary: dict, entrants: list[Entrant]) -> list[str]:
    """For each of our entrants, by how much its mean SR leads that of the best peer; empty without peers."""
    rates = {name: 100 * entrant["mean"]["sr"] for name, entrant in summary["entrants"].items()}
    peers = [e.name for e in entrants if isinstance(e, PeerEntrant) and e.name in rates]
    if not peers:
        return []
    best = max(peers, key=rates.get)
    ours = [e.name for e in entrants if not isinstance(e, PeerEntrant)]
    return [f"{name} - {best}, the best peer: {rates[name] - rates[best]:+.1f} points of mean SR" for name in ours]


def _both(scores: dict) -> str:
    return f"{_percent(scores['sr'])}/{_percent(scores['kept'])}"


def _percent(share: float) -> str:
    return f"{100 * share:.1f}"
