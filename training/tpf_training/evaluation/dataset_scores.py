"""The scores of a weights file on a data set, as `tpf-eval run` makes results and `tpf-eval score` scores them."""

import argparse
from pathlib import Path

from tpf_training.datasets.record import DatasetError
from tpf_training.evaluation import run as run_verb
from tpf_training.evaluation.ground_truth import find_truth, read_truth
from tpf_training.evaluation.one_pass import EvaluationError
from tpf_training.evaluation.run_shares import Rank
from tpf_training.evaluation.score import choose_benchmark, score_folders
from tpf_training.evaluation.sequences import find_openers


def check_dataset(dataset: str, root: Path, listed: str | None = None) -> None:
    """DatasetError names what is missing or damaged of the sequences that count; only first frames are decoded.

    dataset, root, listed: see `find_openers`; the default list is the benchmark's own.
    """
    benchmark = choose_benchmark(dataset)
    openers, _ = find_openers(dataset, root, benchmark.truth.test if benchmark.truth else (), listed)
    for name, open_it in openers.items():
        if not open_it().present[1:].any():
            raise DatasetError(f"{root}: of {name} only the first box is known, which cannot be scored")
    for truth in find_truth(root, benchmark, listed)[0]:
        read_truth(truth, benchmark)


def dataset_scores(
    weights: Path, dataset: str, root: Path, listed: str | None, ndtu: bool, out: Path
) -> dict[str, float]:
    """By their names, 0..1; the tracker goes by the published rule, see `tracker_config`.

    dataset, root, listed: as of `check_dataset`. ndtu: whether the dynamic template is updated. out: folder of the
    results; those that are there are not made again. EvaluationError where a sequence has no score.
    """
    parser = argparse.ArgumentParser("tpf-eval run")
    run_verb.add_arguments(parser)
    arguments = ["--dataset", dataset, "--root", root, "--weights", weights, "--out", out, "--published"]
    arguments += ["--sequences", listed] if listed else []
    arguments += [] if ndtu else ["--no-ndtu"]
    run_verb.run(parser.parse_args(list(map(str, arguments))), Rank())  # all sequences, whoever started this process
    tracker = score_folders(choose_benchmark(dataset), root, listed, {"ours": out}).report["trackers"]["ours"]
    if tracker["failed"]:
        reason = next(iter(tracker["failed"].values()))
        raise EvaluationError(f"{len(tracker['failed'])} sequence(s) of {dataset} have no score, the first: {reason}")
    return tracker["scores"]
