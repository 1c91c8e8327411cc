"""Start an encoder from a pretrained plain ViT: timm, DINOv2 or MAE parameter names, any patch and image size."""

from pathlib import Path

from safetensors.torch import load_file
from timm.layers import resample_abs_pos_embed, resample_patch_embed
from torch import Tensor

from tpf_model.backbone import VisionTransformer


def load_encoder(encoder: VisionTransformer, path: Path | str) -> list[str]:
    """Copy the safetensors file `path` into `encoder` and return the names in the file that found no place.

    Patch embeddings are resampled (FlexiViT's pseudo-inverse), position embeddings bicubically; layer scales are
    folded into the layers before them. A ValueError names what the file lacks.
    """
    state = {name: tensor.float() for name, tensor in load_file(path).items()}
    _fold_layer_scale(state)
    if "pos_embed" not in state or "patch_embed.proj.weight" not in state:
        raise ValueError(f"{path} is no plain ViT: it needs 'pos_embed' and 'patch_embed.proj.weight' (timm's names)")
    patch = encoder.patch_embed.proj.kernel_size[0]
    state["patch_embed.proj.weight"] = resample_patch_embed(state["patch_embed.proj.weight"], [patch, patch])
    positions = state.pop("pos_embed")
    # timm adds the class token's own position; ours has none, so it goes into the token.
    state["cls_token"] = state["cls_token"] + positions[:, :1]
    for name in ("pos_template", "pos_search"):
        side = int(getattr(encoder, name).shape[1] ** 0.5)
        state[name] = resample_abs_pos_embed(positions, [side, side], num_prefix_tokens=1)[:, 1:]
    result = encoder.load_state_dict(state, strict=False)
    if result.missing_keys:
        raise ValueError(f"{path} lacks {', '.join(result.missing_keys[:5])}")
    return result.unexpected_keys


def _fold_layer_scale(state: dict[str, Tensor]) -> None:
    """gamma * (W x + b) = (gamma W) x + gamma b: DINOv2's layer scales need no parameters of their own."""
    for name in [key for key in state if key.endswith((".ls1.gamma", ".ls2.gamma"))]:
        gamma = state.pop(name)
        layer = name.replace("ls1.gamma", "attn.proj").replace("ls2.gamma", "mlp.fc2")
        state[f"{layer}.weight"] = state[f"{layer}.weight"] * gamma[:, None]
        state[f"{layer}.bias"] = state[f"{layer}.bias"] * gamma
