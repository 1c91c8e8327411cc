"""Folders that results are written to."""

from pathlib import Path

from tpf_training.evaluation.one_pass import EvaluationError


def make_folder(folder: Path) -> None:
    """Make it and those above, where they are not there; EvaluationError where that cannot be."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise EvaluationError(f"{folder}: cannot be made a folder: {error.strerror}") from error
