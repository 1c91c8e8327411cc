"""Where there is no CUDA GPU, Triton's kernels run in its interpreter, which Triton must know when it is imported."""

import os

import torch

if not torch.cuda.is_available():
    os.environ.setdefault("TRITON_INTERPRET", "1")
