"""The Triton kernels as tests run them: on a CUDA GPU where there is one, else in Triton's interpreter."""

import numpy as np
import pytest
import torch


@pytest.fixture(scope="session")
def triton_device():
    """The device that scan "triton" runs on here."""
    pytest.importorskip("triton")
    if torch.cuda.is_available():
        yield "cuda"
        return
    from triton.runtime.interpreter import InterpreterBuilder, ScanOps

    import tpf_model.selective_scan.triton as scan
    import tpf_model.vim_triton as vim

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ScanOps, "generic_scan", _scan_in_pairs)
        patch.setattr(InterpreterBuilder, "create_dot", _dot_in_tf32(InterpreterBuilder.create_dot))
        # A program takes the interpreter the same time whatever its size, so few large ones; and short sequences have
        # all that long ones have: several spans of several tiles, gradients summed up in programs and over them.
        patch.setattr(scan, "_CARRIED", 512)
        patch.setattr(scan, "_SPANS", 4)
        patch.setattr(vim, "_SHARES", 4)
        yield "cpu"


def _dot_in_tf32(create_dot):
    """What the interpreter's own multiplies as it is; of a number in TF32 tensor cores read the first 19 bits alone."""

    def dot(self, *operands):
        a, b, *others = operands
        a, b = (type(x)((x.data.view(np.int32) & -8192).view(np.float32), x.dtype) for x in (a, b))
        return create_dot(self, a, b, *others)

    return dot


def _scan_in_pairs(self, inputs):
    """What the interpreter's own does number by number and in order; a GPU may also join partial results, as here."""
    reached, length = inputs, inputs[0].handle.data.shape[self.axis]
    at = np.arange(length).reshape([-1 if axis == self.axis else 1 for axis in range(len(inputs[0].shape))])
    for distance in (1 << step for step in range(length.bit_length() - 1)):
        before = [self.to_tensor(np.roll(x.handle.data, distance, self.axis), x.dtype) for x in reached]
        joined = self.combine_fn.fn(*before, *reached)
        reached = [
            self.to_tensor(np.where(at < distance, old.handle.data, new.handle.data), old.dtype)
            for old, new in zip(reached, joined)
        ]
    return reached
