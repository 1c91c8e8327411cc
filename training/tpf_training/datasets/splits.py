"""What may never be trained on."""

import re
from pathlib import Path

from tpf_training.datasets.record import DatasetError

# Aligned clips with boxes that are kept for development evaluation.
HELD_OUT_CLIPS = frozenset({"0117_1620", "1230_1202"})


def is_held_out(name: str) -> bool:
    """Whether `name` (a clip, or something made of it, as `<clip>_<frame>` or `m3svd_<clip>`) is of a held-out clip."""
    return any(re.search(rf"(?<!\d){clip}(?!\d)", name) for clip in HELD_OUT_CLIPS)


def evaluation_names(list_file: Path) -> frozenset[str]:
    """Names in a list of evaluation clips, one a line; DatasetError where the list is missing or empty."""
    try:
        names = frozenset(line.strip() for line in list_file.read_text().splitlines() if line.strip())
    except OSError as error:
        raise DatasetError(f"{list_file}: cannot read the list of evaluation clips: {error.strerror}") from error
    if not names:
        raise DatasetError(f"{list_file}: the list of evaluation clips is empty")
    return names
