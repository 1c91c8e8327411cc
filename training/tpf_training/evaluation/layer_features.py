"""What an encoder makes of the search crop, layer by layer: hooks on its modules, which run as they are."""

from torch import Tensor

from tpf_model.backbone import VisionTransformer


class LayerFeatures:
    """While entered, keeps an encoder's features of the search crop of the last forward pass.

    tokens: (B, search tokens, C) of each layer, rows first: [0] the patch embedding without its position, [i] what the
    i-th block gives.
    """

    def __init__(self, encoder: VisionTransformer):
        self._encoder, self._search = encoder, encoder.pos_search.shape[1]
        self.tokens: list[Tensor] = []

    def __enter__(self) -> "LayerFeatures":
        embed, blocks = self._encoder.patch_embed, self._encoder.blocks
        self._handles = [embed.register_forward_hook(self._embedded)]
        self._handles += [block.register_forward_hook(self._passed) for block in blocks]
        return self

    def __exit__(self, *_) -> None:
        for handle in self._handles:
            handle.remove()

    def _embedded(self, module, inputs, output: Tensor) -> None:
        self.tokens[:] = [output]  # the templates come first, and the search crop right before the blocks

    def _passed(self, module, inputs, output: Tensor) -> None:
        self.tokens.append(output[:, -self._search :])


def layer_names(depth: int) -> list[str]:
    """The names of `LayerFeatures.tokens`: "embedding", "1" .."""
    return ["embedding", *map(str, range(1, depth + 1))]
