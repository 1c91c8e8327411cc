"""Read the tensors of a checkpoint, and nothing else of it: no code that a file names is ever run."""

import pickle
import zipfile
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor
from torch.serialization import get_unsafe_globals_in_checkpoint, safe_globals

from tpf_model.weights import WeightsError

# Where training programs keep the weights: OSTrack in "net", MAE, DropMAE and DeiT in "model", others in "state_dict".
NESTED = ("net", "model", "state_dict")


class _Inert:
    """Stands for any class that a checkpoint pickles beside its weights; takes whatever it is given, does nothing."""

    def __new__(cls, *args, **kwargs):
        return super().__new__(cls)

    def __init__(self, *args, **kwargs):
        pass

    def __setstate__(self, state):
        pass


def read_tensors(path: Path | str) -> tuple[dict[str, Tensor], dict[str, str]]:
    """The weights in a checkpoint, float32 on the CPU, by name; and a safetensors file's metadata, else {}.

    `*.safetensors`, or what `torch.save` wrote (.pth, .pt, .bin, .pth.tar): a dict of tensors, or a dict that has one
    under "net", "model" or "state_dict". torch.load reads the latter with weights_only=True; objects of classes in it
    (OSTrack's settings and statistics, MAE's and DropMAE's arguments) become inert placeholders. WeightsError for
    a file that is missing, damaged, holds no weights, or cannot be read in this safe way.
    """
    path = Path(path)
    if not path.is_file():
        raise WeightsError(f"checkpoint {path} does not exist")
    if path.suffix == ".safetensors":
        try:
            with safe_open(path, framework="pt") as file:
                return {name: file.get_tensor(name).float() for name in file.keys()}, file.metadata() or {}
        except (SafetensorError, OSError) as error:
            raise WeightsError(f"checkpoint {path} is not a readable safetensors file: {error}") from error
    return _find_weights(_load(path), path), {}


def _load(path: Path) -> object:
    try:
        named = get_unsafe_globals_in_checkpoint(path) if zipfile.is_zipfile(path) else []
        with safe_globals([(_Inert, name) for name in named]):
            return torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, ValueError, RuntimeError, EOFError, OSError, KeyError, TypeError) as error:
        raise WeightsError(
            f"checkpoint {path} cannot be read as plain tensors: {_reason(error)}\n"
            "Accepted: *.safetensors, or a file of torch.save. If it is one, and you trust who made it, save its "
            "weights alone with the program that wrote it (this runs the code in it):\n"
            f'  python -c "import torch; c = torch.load({str(path)!r}, map_location=\'cpu\', weights_only=False); '
            f"torch.save({{k: c[k] for k in {NESTED} if k in c}} or c, 'weights.pth')\""
        ) from error


def _reason(error: Exception) -> str:
    """What is wrong with the file, in one line: torch wraps its unpickler's message in a page of advice."""
    if isinstance(error, pickle.UnpicklingError) and error.__context__:
        error = error.__context__
    return (str(error) or type(error).__name__).partition("\n")[0]


def _find_weights(content: object, path: Path) -> dict[str, Tensor]:
    names = list(content) if isinstance(content, dict) else type(content).__name__
    for key in NESTED:
        if isinstance(content, dict) and isinstance(content.get(key), dict):
            content = content[key]
            break
    tensors = {k: v.float() for k, v in content.items() if isinstance(v, Tensor)} if isinstance(content, dict) else {}
    if not tensors:
        raise WeightsError(f"checkpoint {path} holds no tensors by name, here or in one of {NESTED}; it holds {names}")
    return tensors
