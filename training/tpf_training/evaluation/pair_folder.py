"""Aligned stills to evaluate on: `<set>/{visible,thermal}/<name>`, or one set, `{visible,thermal}/<name>`.

Nothing is held out here, unlike in the data that is trained on (`datasets/rgbt_pairs.py`).
"""

from dataclasses import dataclass
from pathlib import Path

from tpf_training.datasets.image_folder import SUFFIXES, images_by_stem
from tpf_training.datasets.record import DatasetError
from tpf_training.datasets.rgbt_pairs import PairFiles
from tpf_training.evaluation.degradation import MODALITIES


@dataclass(frozen=True)
class PairFolder:
    """pairs: those whose files are there, called `<set>/<name>` or `<name>`; failed: by name, why others are none."""

    pairs: list[PairFiles]
    failed: dict[str, str]

    @property
    def total(self) -> int:
        return len(self.pairs) + len(self.failed)


def set_of(pair: str) -> str:
    """The set that a pair is of, "" where the folder has none."""
    return pair.rpartition("/")[0]


def find_pairs(root: Path) -> PairFolder:
    """Every pair under `root`, by its images' names without suffix; DatasetError where there is none."""
    flat = any((root / modality).is_dir() for modality in MODALITIES)
    groups = [root] if flat else sorted({folder.parent for m in MODALITIES for folder in root.glob(f"*/{m}")})
    pairs, failed = [], {}
    for group in groups:
        files = {modality: images_by_stem(group / modality) for modality in MODALITIES}
        for stem in sorted({stem for found in files.values() for stem in found}):
            name = stem if flat else f"{group.name}/{stem}"
            found = {modality: files[modality].get(stem, []) for modality in MODALITIES}
            wrong = [_wrong(group / modality, stem, images) for modality, images in found.items() if len(images) != 1]
            if wrong:
                failed[name] = "; ".join(wrong)
            else:
                pairs.append(PairFiles(name, **{modality: images[0] for modality, images in found.items()}))
    if not pairs and not failed:
        raise DatasetError(
            f"{root}: no pairs, expected <set>/{{visible,thermal}}/<name> or {{visible,thermal}}/<name>, "
            f"images {', '.join(SUFFIXES)}"
        )
    return PairFolder(pairs, failed)


def _wrong(folder: Path, stem: str, images: list[Path]) -> str:
    if images:
        return f"{folder}: several images are called {stem!r}: {', '.join(image.name for image in images)}"
    return f"{folder / stem}.*: missing"
