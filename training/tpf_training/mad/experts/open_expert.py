"""From a configuration to an expert that fuses."""

import torch

from tpf_training.mad.expert_config import ExpertConfig
from tpf_training.mad.experts.cddfuse import open_cddfuse
from tpf_training.mad.experts.diff_if import open_diff_if
from tpf_training.mad.experts.expert import Expert
from tpf_training.mad.experts.folder import open_folder
from tpf_training.mad.experts.mambadfuse import open_mambadfuse
from tpf_training.mad.experts.onnx_file import open_onnx
from tpf_training.mad.experts.torchscript_file import open_torchscript

_OPENERS = {
    "folder": open_folder,
    "onnx": open_onnx,
    "torchscript": open_torchscript,
    "cddfuse": open_cddfuse,
    "diff_if": open_diff_if,
    "mambadfuse": open_mambadfuse,
}


def open_expert(config: ExpertConfig, device: torch.device | str = "cpu") -> Expert:
    """The expert, ready on `device`; ExpertError says what is missing: a file, a checkout, a package, a tensor."""
    return _OPENERS[config.kind](config, torch.device(device))
