"""What several verbs' command lines have in common."""

import argparse
from dataclasses import dataclass
from pathlib import Path

from tpf_model.config import AUTO, variant_names
from tpf_training.evaluation.one_pass import EvaluationError


@dataclass(frozen=True)
class NamedModel:
    """A model of ours: the variant `model` with its shipped weights, or, with `model` AUTO, what `weights` holds."""

    name: str
    model: str
    weights: Path | None


def add_models(group: argparse._ActionsContainer) -> None:
    """`--model` and `--weights`, for `named_models`."""
    group.add_argument(
        "--model",
        action="append",
        default=[],
        choices=variant_names(),
        help="model with the weights that ship; repeatable",
    )
    group.add_argument(
        "--weights",
        type=named_path,
        action="append",
        default=[],
        metavar="NAME=FILE",
        help="weights file of any model, called NAME in the tables; repeatable",
    )


def named_models(args: argparse.Namespace) -> list[NamedModel]:
    models = [NamedModel(model, model, None) for model in args.model]
    return models + [NamedModel(name, AUTO, file) for name, file in args.weights]


def add_files(group: argparse._ActionsContainer) -> None:
    """`--json`, `--csv` and `--markdown`, for `check_folders`."""
    for kind in ("json", "csv", "markdown"):
        group.add_argument(f"--{kind}", type=Path, metavar="FILE", help="write the numbers there")


def check_folders(*files: Path | None) -> None:
    """Before hours of work: EvaluationError names a file's folder that does not exist, or a folder in its place."""
    for file in files:
        if file and file.is_dir():
            raise EvaluationError(f"{file}: is a folder, not a file to write")
        if file and not file.absolute().parent.is_dir():
            raise EvaluationError(f"{file}: there is no folder {file.absolute().parent}")


def check_unique(names: list[str], what: str) -> None:
    """EvaluationError where two of `what` have one name."""
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice:
        raise EvaluationError(f"two {what} are called {twice!r}: each name only once")


def named_path(text: str) -> tuple[str, Path]:
    """An argument's type: NAME=PATH."""
    name, _, path = text.partition("=")
    if not name or not path:
        raise argparse.ArgumentTypeError(f"{text!r} is no NAME=PATH")
    return name, Path(path)
