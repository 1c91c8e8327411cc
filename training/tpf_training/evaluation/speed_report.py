"""The numbers of `tpf-eval speed` as tables to read."""

from tpf_training.evaluation.table import Layout

EXPLANATION = """\
Batch 1, a frame from two images to a box; all entrants track the same frames in turns. Stages: crop of the search
region; fuse, with the upload to a GPU; encode; head, with the maps' way back; decode, with the template rule; medians,
measured in a second pass. GFLOP: matrix products, convolutions and attention by PyTorch's counter, a multiplication and
an addition being two, and the selective scan by its formula; norms and activations are not counted. Weights: parameters
times bytes of the precision. Peak: of a process of its own, with PyTorch and all libraries."""
_NUMBERS = ["computes in", "FPS", "p50 ms", "p95 ms", "p99 ms", "M parameters", "GFLOP", "weights MB", "peak MB"]


def document(report: dict, layout: Layout) -> str:
    entrants = report["entrants"]
    stages = list(dict.fromkeys(stage for entrant in entrants.values() for stage in entrant["stages_ms"] or ()))
    parts = [
        layout(
            ["entrant", *_NUMBERS],
            [[name, *_numbers(entrant)] for name, entrant in entrants.items()],
        ),
        layout(
            ["stages, ms", *(stages or ["none"])],
            [[name, *_stages(entrant, stages)] for name, entrant in entrants.items()],
        ),
        *(f"{name}: runs a frame as one, it has no stages" for name, e in entrants.items() if e["stages_ms"] is None),
        *(f"{name} was not measured: {reason}" for name, reason in report["not measured"].items()),
        EXPLANATION,
        f"{report['frames']['count']} frames: {report['frames']['source']}. {report['threads']} thread(s). "
        f"{report['machine']}.",
    ]
    return "\n\n".join(parts)


def _numbers(entrant: dict) -> list[str]:
    memory = entrant["memory_mb"]
    peak = f"{memory['peak']:.0f}" + (f" + {memory['peak GPU']:.0f} GPU" if "peak GPU" in memory else "")
    return [
        entrant["precision"],
        f"{entrant['fps']:.1f}",
        *(f"{value:.1f}" for value in entrant["latency_ms"].values()),
        f"{entrant['parameters']['total'] / 1e6:.2f}",
        f"{entrant['gflop']['total']:.2f}",
        f"{memory['weights']:.1f}",
        peak,
    ]


def _stages(entrant: dict, stages: list[str]) -> list[str]:
    times = entrant["stages_ms"] or {}
    return [f"{times[stage]:.2f}" if stage in times else "-" for stage in stages or ["none"]]
