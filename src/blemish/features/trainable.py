"""A network that learns: one of the frozen networks with its weights and its normalisation, set free."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from blemish.features import EMBEDDED, extractor
from blemish.features.texnet import SIZES, TexNet
from blemish.training.random_state import seeded


class Trainable(nn.Module):
    """RGB in [0, 1], (B, 3, H, W), to one (B, C, H / stride, W / stride) map a layer, as `Features` gives them.

    Its parameters ask for gradients, and `train()` is obeyed: batch norms, where the network has any, learn in train mode
    and stand still in eval mode. `channels` and `strides` say what the maps are.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self, net: nn.Module, channels: Sequence[int], strides: Sequence[int], mean: Tensor, std: Tensor
    ) -> None:
        super().__init__()
        self.net = net.requires_grad_(True)
        self.channels, self.strides = tuple(channels), tuple(strides)
        self.register_buffer("mean", mean)
        self.register_buffer("std", std)
        self.train()

    def forward(self, image: Tensor) -> list[Tensor]:
        """Return the maps of the layers, in their order."""
        if image.device.type == "cpu" and not torch.compiler.is_compiling():  # channels side by side are faster there
            image = image.contiguous(memory_format=torch.channels_last)
        maps: list[Tensor] = self.net((image - self.mean) / self.std)
        return maps


def trainable(
    backbone: str,
    layers: Sequence[str | int],
    *,
    weights: str | None = None,
    pretrained: bool = True,
    seed: int = 0,
) -> Trainable:
    """Return a backbone to be trained on, from the weights that `blemish.features.extractor` would freeze.

    `pretrained=False` gives random weights, drawn by `seed`. The embedded networks then get the batch norms that they were
    trained with: without them nothing is learned from random weights.

    Raises:
        InputError: `weights` are given, but `pretrained` is False.
        UnknownName: no such backbone or layer.
        WeightsError: the weights cannot be had, or belong to another network.
    """
    frozen = extractor(backbone, layers, weights=weights, pretrained=pretrained)
    net = frozen.net
    if not pretrained:
        with seeded(seed):
            net = _random(backbone, frozen.layers)
    return Trainable(net, frozen.channels, frozen.strides, torch.clone(frozen.mean), torch.clone(frozen.std))


def _random(backbone: str, layers: Sequence[str]) -> nn.Module:
    if backbone in EMBEDDED:
        return TexNet(SIZES[backbone], layers, norm=True)
    from blemish.features.timm import timm_features

    return timm_features(backbone, layers, None, False).net
