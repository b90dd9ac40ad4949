"""Twin: a backbone's architecture once more, with random weights and meant to be trained. A student for its teacher."""

from __future__ import annotations

from torch import Tensor, nn

from blemish.features.frozen import Features
from blemish.training import seeded


class Twin(nn.Module):
    """RGB in [0, 1], (B, 3, H, W), to maps of the same shapes as the frozen network's.

    The frozen counterpart is `Features`; this one has gradients, follows `train()`, and normalises its input alike.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, net: nn.Module, mean: Tensor, std: Tensor) -> None:
        super().__init__()
        self.net = net.requires_grad_(True)
        self.register_buffer("mean", mean.clone())
        self.register_buffer("std", std.clone())

    def forward(self, image: Tensor) -> list[Tensor]:
        """Return the maps of the layers, in their order."""
        maps: list[Tensor] = self.net((image - self.mean) / self.std)
        return maps


def twin(backbone: str, frozen: Features, *, seed: int = 0) -> Twin:
    """Return the network of `extractor(backbone, ...)`, which gave `frozen`, with random weights drawn by `seed`.

    A TexNet gets the batch norms that its shipped weights have folded away: they belong to its training.
    """
    from blemish.features import EMBEDDED

    net: nn.Module
    with seeded(seed):
        if backbone in EMBEDDED:
            from blemish.features.texnet import SIZES, TexNet

            net = TexNet(SIZES[backbone], frozen.layers, norm=True)
        else:
            from blemish.features.timm_backbone import timm_features

            net = timm_features(backbone, frozen.layers, None, False).net.train()
    return Twin(net, frozen.mean, frozen.std)
