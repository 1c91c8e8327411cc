"""What a weights file says of where its weights come from."""

import argparse
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
}
# Says nothing about the weights, only about where and how they were made.
NOT_RECORDED = {"data", "run", "cache", "device", "workers", "save_every", "resume", "source", "encoder", "weights"}


def describe(args: argparse.Namespace, step: int, shares: dict[str, float], start: dict) -> dict:
    """The provenance of weights after `step` steps: each source's share of the samples, what training started from."""
    data = {name: {"share": round(share, 4), "licence": LICENCES[name]} for name, share in shares.items()}
    settings = {name: value for name, value in vars(args).items() if name not in NOT_RECORDED}
    return {"command": "tpf_training.finetune", "step": step, "data": data, "start": start, "settings": settings}


def origin(path: Path) -> dict:
    """A safetensors file's name and what its metadata says of where it comes from."""
    with safe_open(path, framework="pt") as file:
        metadata = file.metadata() or {}
    if "provenance" in metadata:
        return {"file": path.name, "provenance": json.loads(metadata["provenance"])}
    return {"file": path.name, "source": metadata.get("source", "unknown")}
