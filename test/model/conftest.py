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
    from triton.runtime.interpreter import ScanOps

    import tpf_model.selective_scan.triton as scan

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ScanOps, "generic_scan", _scan_along_the_axis)
        # A program takes the interpreter the same time whatever its size, so few large ones; and short sequences have
        # all that long ones have: several spans of several tiles.
        patch.setattr(scan, "_CARRIED", 512)
        patch.setattr(scan, "_SPANS", 4)
        yield "cpu"


def _scan_along_the_axis(self, inputs):
    """What the interpreter's own does number by number."""
    steps = [
        tuple(self.to_tensor(x.handle.data.take(i, self.axis), x.dtype) for x in inputs)
        for i in range(inputs[0].handle.data.shape[self.axis])
    ]
    reached = steps[:1]
    for step in steps[1:]:
        reached.append(self.combine_fn.fn(*reached[-1], *step))
    return [
        self.to_tensor(np.stack([parts[j].handle.data for parts in reached], self.axis), x.dtype)
        for j, x in enumerate(inputs)
    ]
