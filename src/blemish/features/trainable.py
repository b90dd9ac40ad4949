"""A network to train: one of the frozen networks with its weights and its normalisation, with gradients."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from blemish.features import EMBEDDED, extractor
from blemish.features.texnet import SIZES, TexNet
from blemish.training.random_state import seeded


class Trainable(nn.Module):
    """RGB in [0, 1], (B, 3, H, W), to one (B, C, H / stride, W / stride) map per layer, as `Features` gives them.

    Its parameters require gradients, and `train()` is obeyed: batch norms, where the network has any, update their
    statistics in train mode and keep them in eval mode.

    Args:
        net: Network that returns the maps for a normalised image.
        channels: Channels of each map.
        strides: Stride of each map, in pixels.
        mean: (1, 3, 1, 1) mean of the three colours, subtracted from the image.
        std: (1, 3, 1, 1) standard deviation of the three colours, by which it is divided then.
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
        """Return the maps of the layers.

        Args:
            image: (B, 3, H, W) RGB in [0, 1].

        Returns:
            One (B, C, H / stride, W / stride) map per layer, in the order of the layers.
        """
        if image.device.type == "cpu" and not torch.compiler.is_compiling():  # channels last is faster there
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
    """Return a backbone to train, starting from the weights that `blemish.features.extractor` would freeze.

    With random weights the embedded networks get the batch norms that they were trained with: without them training
    from random weights fails.

    Args:
        backbone: Name of the backbone, as in `extractor`.
        layers: Names of layers, or strides; a stride selects the last layer of that stride.
        weights: A local .safetensors file, as in `extractor`.
        pretrained: False gives random weights.
        seed: Random seed of random weights.

    Returns:
        The network, in train mode.

    Raises:
        InputError: `weights` are given, but `pretrained` is False.
        UnknownName: no such backbone or layer.
        WeightsError: the weights cannot be obtained, or belong to another network.
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
