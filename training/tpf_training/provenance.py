"""What a weights file says of where its weights come from."""

import dataclasses
import json
from pathlib import Path

from safetensors import safe_open

# What each source's folder holds in the data layout of the README, and on which terms.
LICENCES = {
    "rgbt_video": "M3SVD clips, MIT; boxes drawn for this project",
    "rgb_video": "TinyTLP and OTB clips, academic use",
    "rgbt_pairs": "RoadScene (no licence stated), TNO (research use with credit), M3SVD (MIT), LLVIP (non-commercial)",
    "pasted": "objects and backgrounds of the other sources",
    "single_modality": "Drone-detection-dataset clips, CC0",
    "thermal_video": "M3SVD clips, MIT; no labels",
    "thermal_tracks": "M3SVD clips, MIT; boxes found by motion",
    "lasher": "LasHeR, research use as its authors publish it",
    "rgbt234": "RGBT234, research use as its authors publish it",
    "rgbt210": "RGBT210, research use as its authors publish it",
    "gtot": "GTOT, research use as its authors publish it",
    "vtuav": "VTUAV, research use as its authors publish it",
    "folder": "the user's own recordings, terms not stated",
}
# Say nothing about the weights, only about where and on what they were made.
NOT_RECORDED = {"folder", "root", "cache", "devices", "nodes", "accelerator", "workers", "log_every", "start"}


def describe(
    command: str, config, step: int, devices: int, shares: dict[str, float], origins: dict, stated: dict[str, str]
) -> dict:
    """The provenance of weights after `step` steps of `tpf-train command`, each of a batch on every one of `devices`.

    config: its dataclass; shares: each source's share of the samples; origins: what training started from; stated: the
    sources' licences where those are not LICENCES'.
    """
    licences = LICENCES | stated
    data = {name: {"share": round(share, 4), "licence": licences[name]} for name, share in shares.items()}
    settings = _without_paths(dataclasses.asdict(config))
    run = {"command": f"tpf-train {command}", "step": step, "devices": devices}
    return run | {"data": data, "start": origins, "settings": settings}


def _without_paths(settings: dict) -> dict:
    """`settings` as JSON can hold them: of paths, a file's name alone."""
    return {name: _plain(value) for name, value in settings.items() if name not in NOT_RECORDED}


def _plain(value):
    if isinstance(value, dict):
        return _without_paths(value)
    if isinstance(value, (list, tuple)):
        return [_plain(entry) for entry in value]
    # Weights are named by a path or a model's name, splits by a path or a folder's: both are strings then.
    is_path = isinstance(value, Path) or (isinstance(value, str) and Path(value).is_absolute())
    return Path(value).name if is_path else value


def origin(path: Path) -> dict:
    """A weights file's name and what its metadata, where it has some, says of where it comes from."""
    metadata = {}
    if path.suffix == ".safetensors":
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
    if "provenance" in metadata:
        return {"file": path.name, "provenance": json.loads(metadata["provenance"])}
    return {"file": path.name, "source": metadata.get("source", "unknown")}
