"""What `run.json` beside results says of the run that made them, as a page shows it."""

import json
from collections.abc import Iterator
from pathlib import Path

from tpf_training.datasets.record import DatasetError
from tpf_training.evaluation.run_record import RECORD

SHOWN = 3  # entries of a list


def read_run(folder: Path) -> dict[str, str]:
    """Its entries, also nested ones, as text; empty where there is no record. DatasetError for a damaged one."""
    file = folder / RECORD
    if not file.exists():
        return {}
    try:
        record = json.loads(file.read_text())
        if not isinstance(record, dict):
            raise ValueError("no JSON object")
    except (OSError, ValueError) as error:
        raise DatasetError(f"{file}: is not the record of a run: {error}") from error
    return dict(_entries(record))


def _entries(record: dict) -> Iterator[tuple[str, str]]:
    for key, value in record.items():
        if isinstance(value, dict):
            yield from _entries(value)
        elif isinstance(value, list):
            more = f" and {len(value) - SHOWN} more" if len(value) > SHOWN else ""
            yield key, ", ".join(map(str, value[:SHOWN])) + more
        elif isinstance(value, bool):
            yield key, "yes" if value else "no"
        else:
            yield key, str(value)
