"""What an ONNX file of ours holds beside its graph, and how a damaged one is known.

The graph is the encoder and the head. Its metadata has all else that a session needs: the model's configuration, the
weights' provenance, the parameter counts, the precision, and the fusion's tensors, which are small and run elsewhere.
The last entry is a checksum of all bytes before it.
"""

import base64
import hashlib
import json
from dataclasses import dataclass

from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import nn

from tpf_model.config import ModelConfig
from tpf_model.fusion import make_fusion
from tpf_model.weights import WeightsError

PRECISIONS = ("float32", "float16", "int8")
INPUTS = ("template", "dynamic", "search")
OUTPUTS = ("score", "size", "offset")

_LAYOUT = "1"  # of the metadata
# A protobuf message may be continued: this is metadata_props (field 14) = {key: "sha256", value: 64 characters}.
_SEAL = b"\x72\x4a\x0a\x06sha256\x12\x40"
_DIGITS = 64


@dataclass(frozen=True)
class Description:
    """precision: of PRECISIONS. parameters: as in `SessionInfo`. fusion: the safetensors bytes of its state."""

    config: ModelConfig
    provenance: dict
    parameters: dict[str, int]
    precision: str
    fusion: bytes

    def to_metadata(self) -> dict[str, str]:
        return {
            "tpf_layout": _LAYOUT,
            "config": json.dumps(self.config.to_dict()),
            "provenance": json.dumps(self.provenance),
            "parameters": json.dumps(self.parameters),
            "precision": self.precision,
            "fusion": base64.b64encode(self.fusion).decode(),
        }

    @classmethod
    def from_metadata(cls, metadata: dict[str, str], file: str) -> "Description":
        """WeightsError, which names `file`, where the metadata are not of `to_metadata`."""
        layout = metadata.get("tpf_layout")
        if layout is None:
            raise WeightsError(f"{file} was not written by `tpf export`: it has no 'tpf_layout' in its metadata")
        if layout != _LAYOUT:
            raise WeightsError(f"{file} has metadata of layout {layout}, this version reads {_LAYOUT}: export it again")
        try:
            parts = ("config", "provenance", "parameters")
            config, provenance, parameters = (json.loads(metadata[key]) for key in parts)
            fusion = base64.b64decode(metadata["fusion"], validate=True)
            return cls(ModelConfig.from_dict(config), provenance, parameters, metadata["precision"], fusion)
        except (KeyError, ValueError, TypeError, ArithmeticError) as error:
            raise WeightsError(f"{file}: bad metadata: {error!r}") from error

    def open_fusion(self, scan: str, file: str) -> nn.Module:
        """The fusion with its tensors, in eval mode. scan: see `resolve_backend`."""
        fusion = make_fusion(self.config, scan)
        try:
            fusion.load_state_dict(load(self.fusion))
        except (SafetensorError, RuntimeError) as error:
            raise WeightsError(f"{file}: bad metadata: fusion does not fit the configuration: {error}") from error
        return fusion.eval()


def pack_fusion(fusion: nn.Module) -> bytes:
    return save({name: tensor.float().contiguous() for name, tensor in fusion.state_dict().items()})


def seal(file: bytes) -> bytes:
    """An ONNX file with a checksum at its end, as one more entry of its metadata."""
    return file + _SEAL + _digest(file)


def is_intact(file: bytes) -> bool:
    """Whether these bytes are as `seal` returned them."""
    body, mark, digest = file[: -len(_SEAL) - _DIGITS], file[-len(_SEAL) - _DIGITS : -_DIGITS], file[-_DIGITS:]
    return mark == _SEAL and digest == _digest(body)


def _digest(data: bytes) -> bytes:
    return hashlib.sha256(data).hexdigest().encode()
