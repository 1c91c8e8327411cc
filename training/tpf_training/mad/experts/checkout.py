"""Using a checkout of an upstream repository: its modules, imported without a trace, and its checkpoint."""

import importlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import torch
from torch import Tensor, nn

from tpf_training.mad.expert_config import ExpertConfig
from tpf_training.mad.experts.expert import ExpertError


@dataclass(frozen=True)
class Checkout:
    """The user's own checkout of `url`, which has `files` in it.

    weights: the checkpoint; that of the configuration, or `default_weights` below the checkout.
    """

    name: str
    root: Path
    url: str
    weights: Path

    @classmethod
    def of(cls, config: ExpertConfig, url: str, files: list[str], default_weights: str) -> "Checkout":
        """ExpertError names what is missing: the checkout, one of `files`, or the checkpoint."""
        where = f"expert {config.name!r}"
        if not config.path.is_dir():
            raise ExpertError(f"{where}: no checkout at {config.path}: git clone {url}")
        for file in files:
            if not (config.path / file).is_file():
                raise ExpertError(f"{where}: {config.path / file} is missing: {config.path} is no checkout of {url}")
        weights = config.weights or config.path / default_weights
        if not weights.is_file():
            raise ExpertError(f"{where}: no weights at {weights}: the README of {url} says where to get them")
        return cls(config.name, config.path, url, weights)

    def modules(self, *names: str, stand_ins: dict[str, ModuleType] | None = None) -> list[ModuleType]:
        """Import modules of the checkout. ExpertError names a Python package that it needs and that is not installed.

        Afterwards, the process's own modules of the same names (`utils`, `models`) are what they were. stand_ins:
        modules that the checkout finds in the place of installed ones.
        """
        with _isolated(self.root, stand_ins or {}):
            try:
                return [importlib.import_module(name) for name in names]
            except ModuleNotFoundError as error:
                package = (error.name or "").partition(".")[0]
                raise ExpertError(
                    f"expert {self.name!r}: {self.url} needs the Python package {package!r}, which is not installed"
                ) from error
            except ImportError as error:
                wanted = f"{', '.join(names)} of {self.root}"
                raise ExpertError(f"expert {self.name!r}: cannot import {wanted}: {error}") from error

    def read_weights(self) -> dict:
        """The checkpoint, on the CPU. Only tensors are read, no code of the file is run."""
        try:
            state = torch.load(self.weights, map_location="cpu", weights_only=True)
        except Exception as error:  # a damaged pickle raises whatever its bytes lead to
            raise ExpertError(f"expert {self.name!r}: cannot read the weights {self.weights}: {error}") from error
        if not isinstance(state, dict):
            raise ExpertError(f"expert {self.name!r}: {self.weights} holds no dictionary of tensors")
        return state

    def load(self, network: nn.Module, state: dict[str, Tensor], part: str) -> nn.Module:
        """`network` in eval mode with the tensors of `state`; ExpertError names those that are missing or differ."""
        state = {name.removeprefix("module."): tensor for name, tensor in state.items()}  # of DataParallel
        try:
            network.load_state_dict(state)
        except RuntimeError as error:
            raise ExpertError(f"expert {self.name!r}: {self.weights} does not fit {part}: {error}") from error
        return network.eval().requires_grad_(False)


@contextmanager
def _isolated(root: Path, stand_ins: dict[str, ModuleType]) -> Iterator[None]:
    """Within, `root` comes first in imports; afterwards nothing that was imported from there is in `sys.modules`."""
    own = {path.stem for path in root.iterdir() if path.suffix == ".py" or path.is_dir()}
    own |= {name.partition(".")[0] for name in stand_ins}

    def take() -> dict[str, ModuleType]:
        return {name: sys.modules.pop(name) for name in list(sys.modules) if name.partition(".")[0] in own}

    hidden, no_bytecode = take(), sys.dont_write_bytecode
    sys.modules.update(stand_ins)
    sys.path.insert(0, str(root))
    sys.dont_write_bytecode = True  # the checkout is the user's
    importlib.invalidate_caches()
    try:
        yield
    finally:
        sys.path.remove(str(root))
        sys.dont_write_bytecode = no_bytecode
        take()
        sys.modules.update(hidden)
