"""Rows on disk: a JSON list."""

import json
from pathlib import Path

_KEYS = ("name", "value", "unit", "target", "passed", "device")


def write_rows(path: Path, rows: list[dict]) -> None:
    path.write_text(json.dumps(rows, indent=1) + "\n")


def read_rows(path: Path) -> list[dict]:
    """ValueError names the file that is not one that `write_rows` wrote."""
    try:
        rows = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise ValueError(f"{path} cannot be read as JSON: {error}") from error
    if not isinstance(rows, list) or not all(isinstance(row, dict) and set(_KEYS) <= set(row) for row in rows):
        raise ValueError(f"{path} is not what `tpf bench --json` writes: a list of objects with {', '.join(_KEYS)}")
    return rows


def merge_rows(files: list[list[dict]]) -> list[dict]:
    """All rows by name, in the order of their first appearance: the last measured one, or else the first."""
    merged: dict[str, dict] = {}
    for row in (row for rows in files for row in rows):
        if row["name"] not in merged or row["value"] is not None:
            merged[row["name"]] = row
    return list(merged.values())
