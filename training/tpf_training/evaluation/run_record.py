"""`run.json` in a folder of result files: what made them, so that nothing else is mixed with them."""

import hashlib
import json
from importlib import metadata
from pathlib import Path

from tpf_model.cpu import cpu_name
from tpf_model.runtime import SessionInfo
from tpf_training.evaluation.entrants import TPFEntrant
from tpf_training.evaluation.one_pass import EvaluationError
from tpf_training.evaluation.output_folder import make_folder
from tpf_training.evaluation.result_files import write_lines

RECORD = "run.json"


def tracker_record(info: SessionInfo, weights: Path, entrant: TPFEntrant) -> dict:
    """The settings of `run.json` that say which tracker ran, and how."""
    return {
        "model": info.model,
        "weights": weights.name,
        "weights_sha256": hashlib.sha256(weights.read_bytes()).hexdigest(),
        "ndtu": entrant.ndtu,
        "published": entrant.published,
        "template_interval": entrant.template_interval,
        "runtime": info.runtime,
        "scan": info.scan,
        "precision": info.precision,
        "device": info.device.split(":")[0],
        "threads": entrant.threads,
        "version": _version(),
    }


def device_name(info: SessionInfo) -> str:
    """The GPU's or the processor's product name."""
    _, bracket, name = info.device.partition(" (")
    return name.removesuffix(")") if bracket else cpu_name()


def join_run(folder: Path, tracker: str, root: Path, settings: dict, device: str) -> None:
    """Begin the run in `folder`, which is made, or go on with the one there, and note that `device` takes part.

    `run.json` holds `tracker`, its name; `root`, the data set's folder where the run began; `settings`; and `devices`,
    the names of those that took part. EvaluationError where the run there has other settings, with the first that
    differs, or there are result files of unknown origin.
    """
    make_folder(folder)
    file = folder / RECORD
    if file.exists():
        record = _read(file)
        _check(file, record["settings"], settings)
    else:
        foreign = next(folder.glob("*.txt"), None)
        if foreign:
            raise EvaluationError(f"{folder}: has {foreign.name} but no {RECORD}: give --out a folder of its own")
        record = {"tracker": tracker, "root": str(root.absolute()), "settings": settings, "devices": []}
    if device not in record["devices"]:
        record["devices"] = sorted([*record["devices"], device])
        write_lines(file, [json.dumps(record, indent=1)])


def _read(file: Path) -> dict:
    try:
        record = json.loads(file.read_text())
        if isinstance(record["settings"], dict) and isinstance(record["devices"], list):
            return record
    except (OSError, ValueError, TypeError, KeyError):
        pass
    raise EvaluationError(f"{file}: is not the record of a run: give --out a folder of its own")


def _check(file: Path, recorded: dict, settings: dict) -> None:
    for key in {**recorded, **settings}:
        before, now = recorded.get(key), settings.get(key)
        if before != now:
            if isinstance(before, list) and isinstance(now, list):
                before, now = _difference(before, now), _difference(now, before)
            raise EvaluationError(
                f"{file}: {key} was {before}, now it is {now}: give --out another folder, or the same settings"
            )


def _difference(names: list[str], others: list[str]) -> str:
    """How many there are, and the first that is not among `others`."""
    only = [name for name in names if name not in set(others)]
    return f"{len(names)} sequences" + (f" with {only[0]}" if only else "")


def _version() -> str:
    try:
        return metadata.version("tpf_training")
    except metadata.PackageNotFoundError:
        return "not installed"
