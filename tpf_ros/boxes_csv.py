"""boxes.csv: `frame,stamp,x,y,w,h,score,state`, one line a frame."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from tpf_model.boxes import Box

T = TypeVar("T")
HEADER = "frame,stamp,x,y,w,h,score,state"


@dataclass(frozen=True)
class BoxRow:
    """One line: frame index, stamp in ns, box in visible-image pixels, score 0..1, state's name in lower case."""

    frame: int
    stamp_ns: int
    box: Box
    score: float
    state: str


class BoxesWriter:
    """Writes boxes.csv line by line; each line is on disk when `write` returns, so a killed run leaves what it did."""

    def __init__(self, path: str | os.PathLike):
        """Create or overwrite the file at `path`; OSError where that cannot be done."""
        self.path = Path(path)
        self._file = open(self.path, "w", buffering=1, newline="\n")
        self._file.write(HEADER + "\n")

    def write(self, row: BoxRow) -> None:
        numbers = ",".join(f"{value:.3f}" for value in row.box)
        self._file.write(f"{row.frame},{format_stamp(row.stamp_ns)},{numbers},{row.score:.4f},{row.state}\n")

    def close(self) -> None:
        self._file.close()

    def __enter__(self) -> "BoxesWriter":
        return self

    def __exit__(self, *_exception) -> None:
        self.close()


def format_stamp(stamp_ns: int) -> str:
    """Seconds with nine decimals, exactly; a float would lose the nanoseconds of a Unix time."""
    seconds, nanoseconds = divmod(abs(stamp_ns), 10**9)
    return f"{'-' if stamp_ns < 0 else ''}{seconds}.{nanoseconds:09d}"


def parse_stamp(text: str) -> int:
    """The inverse of `format_stamp`: nanoseconds."""
    seconds, _, fraction = text.strip().lstrip("-").partition(".")
    value = int(seconds) * 10**9 + int(fraction.ljust(9, "0")[:9] or 0)
    return -value if text.strip().startswith("-") else value


def read_boxes(path: str | os.PathLike) -> list[BoxRow]:
    """Read a boxes.csv; ValueError names the file and the line that is not one."""
    return read_lines(path, HEADER, _parse_row)


def _parse_row(fields: list[str]) -> BoxRow:
    frame, stamp, *box, score, state = fields
    return BoxRow(int(frame), parse_stamp(stamp), tuple(map(float, box)), float(score), state)


def read_lines(path: str | os.PathLike, header: str, parse: Callable[[list[str]], T]) -> list[T]:
    """`parse` each line of the CSV file at `path` under `header`; ValueError names the file and the line at fault."""
    try:
        lines = Path(path).read_text().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} cannot be read: {error}") from error
    if not lines or lines[0].strip() != header:
        raise ValueError(f"{path}: the first line must be {header!r}")
    parsed = []
    for number, line in enumerate(lines[1:], start=2):
        fields = line.split(",")
        try:
            if len(fields) != len(header.split(",")):
                raise ValueError(f"{len(fields)} fields")
            parsed.append(parse(fields))
        except ValueError as error:
            raise ValueError(f"{path}, line {number}: {line!r} is not {header!r} ({error})") from None
    return parsed
