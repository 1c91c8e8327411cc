"""What may never be trained on."""

import re
from pathlib import Path

from tpf_training.datasets.name_list import read_names
from tpf_training.datasets.record import DatasetError

# Aligned clips with boxes that are kept for evaluation: the first two were looked at during development. 1230_1154 has
# no boxes, but shows the place of 1230_1202 eight minutes before.
HELD_OUT_CLIPS = frozenset({"0117_1620", "1230_1202", "0113_1714", "0117_1605", "1230_1154"})


def is_held_out(name: str) -> bool:
    """Whether `name` (a clip, or something made of it, as `<clip>_<frame>` or `m3svd_<clip>`) is of a held-out clip."""
    return any(re.search(rf"(?<!\d){clip}(?!\d)", name) for clip in HELD_OUT_CLIPS)


def evaluation_names(list_file: Path) -> frozenset[str]:
    """Names in a list of evaluation clips, one a line; DatasetError where the list is missing or empty."""
    names = frozenset(read_names(list_file))
    if not names:
        raise DatasetError(f"{list_file}: the list of evaluation clips is empty")
    return names
