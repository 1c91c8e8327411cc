"""Running experts once, ahead of training, which then only reads folders of fused images."""

import sys
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import torch

from tpf_training.datasets.rgbt_pairs import PairFiles
from tpf_training.mad.expert_config import ExpertConfig
from tpf_training.mad.experts import Expert, ExpertError, open_expert
from tpf_training.mad.experts.expert import content_key
from tpf_training.whole_file import whole_file

DONE = "done.tsv"  # pair's name and the key of its images' content, one a line, written after the image


def expert_folders(
    configs: Sequence[ExpertConfig], pairs: Sequence[PairFiles], cache: Path, device: torch.device | str = "cpu"
) -> dict[str, Path]:
    """The folder of fused images of each expert, as `read_expert_pairs` takes them; what has none is run ahead.

    ExpertError names an expert that cannot be opened, or two of one name.
    """
    names = [config.name for config in configs]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ExpertError(f"two experts have the name {twice[0]!r}; names must differ")
    experts = [open_expert(config, device) for config in configs]  # all of them first: runs take hours
    return {
        config.name: config.path if config.kind == "folder" else run_ahead(expert, pairs, cache)
        for config, expert in zip(configs, experts)
    }


def run_ahead(expert: Expert, pairs: Sequence[PairFiles], out: Path) -> Path:
    """Fuse every pair into `<out>/<expert>_<key>/<set>/<name>.png`; returns that folder. Shows its progress on stderr.

    The key is that of the content of the expert's weights. Goes on where an earlier call was interrupted; a pair whose
    images' content has changed is fused anew.
    """
    folder = out / f"{expert.name}_{expert.fingerprint[:12]}"
    folder.mkdir(parents=True, exist_ok=True)
    done = _read_done(folder / DONE)
    with open(folder / DONE, "a") as log:
        for index, pair in enumerate(pairs, start=1):
            path, key = folder / f"{pair.name}.png", content_key(pair.visible, pair.thermal)
            if done.get(pair.name) != key or not path.is_file():
                _write(path, expert.fuse(*pair.read(), pair.name))
                log.write(f"{pair.name}\t{key}\n")
                log.flush()
                done[pair.name] = key  # several targets may share a frame
            print(f"\rexpert {expert.name}: {index}/{len(pairs)} pairs fused", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    return folder


def _read_done(path: Path) -> dict[str, str]:
    """The key of each pair that was fused, the last one where there are several."""
    if not path.is_file():
        return {}
    rows = (line.split("\t") for line in path.read_text().splitlines())
    return {row[0]: row[1] for row in rows if len(row) == 2}  # an interrupted line is a pair that is not done


def _write(path: Path, image: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(path) as part:  # several processes may do the same
        part.write_bytes(cv2.imencode(".png", image)[1])
