"""Start a network from pretrained weights: a plain ViT (timm, DINOv2, MAE, DropMAE), OSTrack, or a network of ours."""

import json
import re
from math import isqrt
from pathlib import Path

from timm.layers import resample_abs_pos_embed, resample_patch_embed
from torch import Tensor

from tpf_model.backbone import VisionTransformer
from tpf_model.config import load_variant, variant_names
from tpf_model.network import TPFNetwork
from tpf_model.weights import WeightsError
from tpf_training.checkpoint_tensors import read_tensors
from tpf_training.load_report import LoadReport, Shape

_PATCHES = "patch_embed.proj.weight"
# Each image's position embedding here; its name in OSTrack; what OSTrack and DropMAE add to each of its tokens.
_POSITIONS = {
    "pos_template": ("pos_embed_z", "temporal_pos_embed_z", "template_segment_pos_embed"),
    "pos_search": ("pos_embed_x", "temporal_pos_embed_x", "search_segment_pos_embed"),
}
# OSTrack's centre head, e.g. box_head.conv1_ctr.0.weight: the layer, the branch, convolution (0) or batch norm (1).
_OSTRACK_HEAD = re.compile(r"box_head\.conv([1-5])_(ctr|size|offset)\.(?:([01])\.)?(\w+)")
_BRANCHES = {"ctr": "score", "size": "size", "offset": "offset"}


def load_initial_weights(network: TPFNetwork, path: Path | str) -> LoadReport:
    """Copy what fits of the checkpoint `path` into `network`, and report what did.

    The encoder must fit: all of it is needed but the class token, which DropMAE has none of. Patch embeddings are
    resampled (FlexiViT's pseudo-inverse), position embeddings bicubically; layer scales are folded into the layers
    before them; an encoder's name prefix (`backbone.`, `module.`, ...) is found by itself. The head (OSTrack's centre
    head, or ours) and the fusion adapter are taken if all of their tensors fit, and kept as initialised if not. The
    number of attention heads cannot be seen in a file that is not ours: it must be the network's (usually width / 64).

    See `read_tensors` for the files. WeightsError for a file that cannot be read, holds no ViT, or one of another
    width or depth; the message names the model that it would fit.
    """
    path = Path(path)
    tensors, metadata = read_tensors(path)
    origin = _our_names(tensors, path)
    state = {ours: tensors[theirs] for ours, theirs in origin.items()}
    _check_size(state, metadata, network.encoder, path)
    resampled: dict[str, tuple[Shape, Shape]] = {}
    _fold_layer_scale(state)
    _fit_patches(state, network.encoder, resampled, path)
    _fit_positions(state, network.encoder, resampled, path)

    wanted = {name: tensor for name, tensor in network.state_dict().items() if _counts(name)}
    _check_encoder(state, wanted, path)
    chosen = {name: state[name] for name in wanted if name in state}
    for part in ("head.", "fusion."):
        names = [name for name in wanted if name.startswith(part)]
        if any(name not in state or state[name].shape != wanted[name].shape for name in names):
            chosen = {name: tensor for name, tensor in chosen.items() if name not in names}
    broken = [name for name, tensor in chosen.items() if not tensor.isfinite().all()]
    if broken:
        raise WeightsError(f"{path} is damaged: not a number, or infinite, in {', '.join(broken[:5])}")
    network.load_state_dict(chosen, strict=False)

    # Whatever is in `state` under a name that nobody asked for was of no use; what is no longer there, was.
    unused = [theirs for ours, theirs in origin.items() if ours in state and ours not in chosen]
    return LoadReport(
        path,
        loaded={name: tuple(tensor.shape) for name, tensor in chosen.items() if name not in resampled},
        resampled=resampled,
        unused={name: tuple(tensors[name].shape) for name in unused},
        missing={name: tuple(tensor.shape) for name, tensor in wanted.items() if name not in chosen},
    )


def _counts(name: str) -> bool:
    # Batch norm's step counter only matters to a momentum that we do not use.
    return not name.endswith("num_batches_tracked")


def _our_names(tensors: dict[str, Tensor], path: Path) -> dict[str, str]:
    """The file's names by what they would be called here: `encoder.`, `head.`, `fusion.` and the rest."""
    prefixes = [name.removesuffix(_PATCHES) for name in tensors if name.endswith(_PATCHES)]
    if len(prefixes) != 1:
        found = f"several ({', '.join(prefixes)})" if prefixes else "none"
        raise WeightsError(f"{path} must hold one plain ViT with timm's names, so one {_PATCHES!r}; it has {found}")
    names = {}
    for name in filter(_counts, tensors):
        if name.startswith(prefixes[0]):
            names["encoder." + name.removeprefix(prefixes[0])] = name
        else:
            names[_head_name(name)] = name
    return names


def _head_name(name: str) -> str:
    """Our name of a tensor of OSTrack's centre head; any other name as it is."""
    match = _OSTRACK_HEAD.search(name)
    if not match:
        return name
    layer, branch, part, kind = match.groups()
    # Here a branch is one sequence, in which each layer is a convolution, a batch norm and a ReLU.
    return f"head.{_BRANCHES[branch]}.{3 * (int(layer) - 1) + int(part or 0)}.{kind}"


def _check_size(state: dict[str, Tensor], metadata: dict[str, str], encoder: VisionTransformer, path: Path) -> None:
    blocks = {int(match[1]) for match in (re.match(r"encoder\.blocks\.(\d+)\.", name) for name in state) if match}
    theirs = state[f"encoder.{_PATCHES}"].shape[0], len(blocks)
    ours = encoder.norm.weight.shape[0], len(encoder.blocks)
    if theirs != ours:
        sizes = {name: load_variant(name) for name in variant_names()}
        fits = [name for name, config in sizes.items() if (config.width, config.depth) == theirs]
        raise WeightsError(
            f"{path} holds a ViT of width {theirs[0]} and depth {theirs[1]}, the model's has width {ours[0]} and depth "
            f"{ours[1]}; {'it fits model ' + ' or '.join(fits) if fits else 'no model that ships has its size'}"
        )
    if {"config", "provenance"} <= metadata.keys():  # ours
        heads = json.loads(metadata["config"])["heads"]
        if heads != encoder.blocks[0].attn.heads:
            ours = encoder.blocks[0].attn.heads
            raise WeightsError(f"{path} holds a ViT of {heads} attention heads, the model's has {ours}")


def _check_encoder(state: dict[str, Tensor], wanted: dict[str, Tensor], path: Path) -> None:
    lacking, other = [], []
    for name, tensor in wanted.items():
        if not name.startswith("encoder.") or (name == "encoder.cls_token" and name not in state):
            continue
        if name not in state:
            lacking.append(name.removeprefix("encoder."))
        elif state[name].shape != tensor.shape:
            other.append(f"{name.removeprefix('encoder.')} {tuple(state[name].shape)}, must be {tuple(tensor.shape)}")
    if lacking:
        raise WeightsError(f"{path} is no plain ViT with timm's names: it lacks {', '.join(lacking[:5])}")
    if other:
        raise WeightsError(f"{path} holds tensors of other shapes: {'; '.join(other[:5])}")
    more = [name.removeprefix("encoder.") for name in state if name.startswith("encoder.blocks.") and name not in wanted]
    if more:  # without these it would be another function than the one that was trained
        raise WeightsError(f"{path} is no plain ViT: its blocks have {', '.join(more[:5])}, too")


def _fold_layer_scale(state: dict[str, Tensor]) -> None:
    """gamma * (W x + b) = (gamma W) x + gamma b: DINOv2's layer scales need no parameters of their own."""
    for name in [key for key in state if key.endswith((".ls1.gamma", ".ls2.gamma"))]:
        gamma = state.pop(name)
        layer = name.replace("ls1.gamma", "attn.proj").replace("ls2.gamma", "mlp.fc2")
        state[f"{layer}.weight"] = state[f"{layer}.weight"] * gamma[:, None]
        state[f"{layer}.bias"] = state[f"{layer}.bias"] * gamma


def _fit_patches(state: dict[str, Tensor], encoder: VisionTransformer, resampled: dict, path: Path) -> None:
    name = f"encoder.{_PATCHES}"
    weight, wanted = state[name], encoder.patch_embed.proj.weight.shape
    if weight.ndim != 4 or weight.shape[1] != wanted[1]:
        raise WeightsError(f"{path}: {_PATCHES} is {tuple(weight.shape)}, must be (width, {wanted[1]}, patch, patch)")
    if weight.shape != wanted:
        state[name] = resample_patch_embed(weight, list(wanted[2:]))
        resampled[name] = tuple(weight.shape), tuple(wanted)


def _fit_positions(state: dict[str, Tensor], encoder: VisionTransformer, resampled: dict, path: Path) -> None:
    """Position embeddings of both image sizes, from the file's two (OSTrack's, ours) or from its only one."""
    grid = state.pop("encoder.pos_embed", None)
    if grid is not None:
        before = grid.shape[1] - isqrt(grid.shape[1]) ** 2
        if before > 1:
            raise WeightsError(f"{path}: pos_embed has {grid.shape[1]} tokens, not a square, nor a class token and one")
        # A class token has a position of its own in timm, here it has none: it goes into the token.
        if before and "encoder.cls_token" in state:
            state["encoder.cls_token"] = state["encoder.cls_token"] + grid[:, :1]
        grid = grid[:, before:]
    for name, (of_ostrack, *additions) in _POSITIONS.items():
        ours = f"encoder.{name}"
        own = state.pop(ours, state.pop(f"encoder.{of_ostrack}", grid))
        if own is None:
            raise WeightsError(f"{path} has no position embeddings: it needs pos_embed, or pos_embed_z and pos_embed_x")
        wanted = getattr(encoder, name).shape
        side = isqrt(wanted[1])
        state[ours] = resample_abs_pos_embed(own, [side, side], num_prefix_tokens=0)
        if own.shape != wanted:
            resampled[ours] = tuple(own.shape), tuple(wanted)
        for addition in additions:
            if f"encoder.{addition}" in state:
                state[ours] = state[ours] + state.pop(f"encoder.{addition}")
