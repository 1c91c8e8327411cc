"""The folder that a replay writes its report into."""

from pathlib import Path

from tpf_ros.command_error import CommandError

OUTPUTS = ("annotated.mp4", "fused.mp4", "boxes.csv", "summary.json", "summary.txt", "timeline.png")


def make_folder(out: Path) -> None:
    """CommandError where that is not possible."""
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CommandError(f"--out {out} cannot be made a folder: {error.strerror}") from error


def empty_folder(out: Path) -> None:
    """As `make_folder`, without an earlier replay's files, which would be taken for this one's if this one fails."""
    make_folder(out)
    for name in OUTPUTS:
        (out / name).unlink(missing_ok=True)
