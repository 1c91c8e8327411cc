"""The precision in which a run computes encoder and head."""

import torch

from tpf_model.runtime.precision import resolve_precision

_AS_LIGHTNING = {"bfloat16": "bf16-mixed", "float16": "16-mixed", "float32": "32-true"}


def trainer_precision(name: str, accelerator: str) -> str:
    """`name`; for "auto", as Lightning's Trainer calls it, what `accelerator` multiplies in by itself.

    A processor that has no instructions for bfloat16 would take ten times as long in it as in float32.
    """
    if name != "auto":
        return name
    on_gpu = accelerator in ("auto", "gpu", "cuda") and torch.cuda.is_available()
    return _AS_LIGHTNING[resolve_precision("auto", torch.device("cuda" if on_gpu else "cpu"))]
