"""Text files that name sequences or clips, one a line."""

from pathlib import Path

from tpf_training.datasets.record import DatasetError


def read_names(list_file: Path) -> list[str]:
    """The lines of `list_file` that are not empty; DatasetError where it cannot be read."""
    try:
        return [line.strip() for line in list_file.read_text(encoding="utf-8-sig").splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise DatasetError(f"{list_file}: cannot be read: {getattr(error, 'strerror', None) or error}") from error
