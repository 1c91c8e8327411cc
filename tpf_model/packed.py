"""Weights as a kernel reads them, kept as long as the parameters they are made from do not change."""

import weakref
from collections.abc import Callable, Sequence
from typing import Any

from torch import Tensor, nn


class PackedWeights:
    """pack: makes a kernel's arrays of the modules it is given."""

    def __init__(self, pack: Callable[[Sequence[nn.Module]], Any]):
        self._pack = pack
        self._known = weakref.WeakKeyDictionary()  # first module: what its arrays were made from, and the arrays

    def __call__(self, modules: Sequence[nn.Module]) -> Any:
        parameters = [parameter for module in modules for parameter in module.parameters()]
        made_from = [(parameter.data_ptr(), _version(parameter)) for parameter in parameters]
        known = self._known.get(modules[0])
        if known is None or known[0] != made_from:
            # With the parameters, so that nothing else can come to lie where they lay.
            known = made_from, self._pack(modules), [parameter.detach() for parameter in parameters]
            self._known[modules[0]] = known
        return known[1]


def _version(parameter: Tensor) -> object:
    # A tensor made in inference mode does not count its changes: equal to nothing, so it is packed each time.
    return object() if parameter.is_inference() else parameter._version
