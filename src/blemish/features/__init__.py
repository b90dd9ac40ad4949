"""Networks that give feature maps: an image in, a list of maps out. Frozen here; `trainable` makes them trainable."""

from __future__ import annotations

from collections.abc import Sequence

from blemish.core.errors import InputError
from blemish.core.learned import loading
from blemish.features.frozen import Features
from blemish.training.random_state import seeded

__all__ = ["Features", "extractor"]

EMBEDDED = ("texnet_s", "texnet_m")
"""Our own backbones; texnet_s ships with blemish and needs neither internet access nor a file."""


def extractor(
    backbone: str, layers: Sequence[str | int], *, weights: str | None = None, pretrained: bool = True
) -> Features:
    """Return a frozen backbone.

    Args:
        backbone: "texnet_s" (embedded), "texnet_m" (larger, needs `weights`) or any name that timm knows.
        layers: Names of layers, or strides; a stride selects the last layer of that stride.
        weights: A local .safetensors file; None for the pretrained weights of the hub, or, for texnet_s, of the
            package.
        pretrained: False gives random weights, always the same, for tests and ablations.

    Returns:
        The network that computes the maps of these layers.

    Raises:
        InputError: `weights` are given, but `pretrained` is False.
        UnknownName: no such backbone or layer.
        WeightsError: the weights cannot be obtained, or belong to another network.
    """
    if weights is not None and not pretrained and not loading.get():
        raise InputError(
            f"weights is {weights!r}, but pretrained=False asks for random ones; give one or the other (pretrained=True)."
        )
    with seeded(0):  # random weights, where requested, are the same every time
        if backbone in EMBEDDED:
            from blemish.features.texnet import texnet_features

            return texnet_features(backbone, layers, weights, pretrained)
        from blemish.features.timm import timm_features

        return timm_features(backbone, layers, weights, pretrained)
