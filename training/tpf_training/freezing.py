"""Keep the first blocks of an encoder as they are."""

from tpf_model.backbone import VisionTransformer


def freeze_first_blocks(encoder: VisionTransformer, count: int) -> None:
    """No gradient for the first `count` blocks and what comes before them; 0 leaves the whole encoder learning.

    As images need no gradient either, these blocks then run without a graph, which is what makes them cheap. (Fused
    images do, where the adapter learns.)
    """
    if count:
        encoder.cls_token.requires_grad_(False)
        for module in (encoder.patch_embed, *encoder.blocks[:count]):
            module.requires_grad_(False)
