"""Networks that give feature maps: an image in, a list of maps out. Frozen here; `trainable` makes them trainable."""

from __future__ import annotations

import fnmatch
from collections.abc import Sequence

from torch import nn

from blemish.core.errors import InputError, UnknownName
from blemish.core.learned import loading
from blemish.core.plugins import installed
from blemish.features.frozen import Features
from blemish.training.random_state import seeded

__all__ = ["Features", "extractor", "list_backbones"]

EMBEDDED = ("texnet_s", "texnet_m")
"""Our own backbones; texnet_s ships with blemish and needs neither internet access nor a file."""


def list_backbones(pattern: str = "*") -> list[str]:
    """Return the names that `extractor` takes: ours, those that installed packages register, and timm's.

    Args:
        pattern: Only names that match, as file names do: "*dinov2*".

    Returns:
        The names: ours first, then registered ones, then timm's, sorted.

    Raises:
        UnknownName: none matches; the message suggests the nearest.
        MissingExtra: timm is not installed.
    """
    from blemish.features.timm import timm_package

    names = [*EMBEDDED, *installed("blemish.backbones"), *timm_package().list_models(exclude_filters="texnet*")]
    found = fnmatch.filter(names, pattern)
    if not found:
        raise UnknownName("backbone", pattern, names)
    return found


def extractor(
    backbone: str | nn.Module, layers: Sequence[str | int], *, weights: str | None = None, pretrained: bool = True
) -> Features:
    """Return a frozen backbone.

    Args:
        backbone: A name of `list_backbones`: "texnet_s" (embedded), "texnet_m" (larger, needs `weights`), one that an
            installed package registers (entry point "blemish.backbones"), any that timm knows (convolutional networks,
            ViT, DINOv2, DINOv3, CLIP, Swin, ...); or an own torch module: the module itself, or "package.module:callable",
            which makes it and can be saved (see `features.own`).
        layers: Names of layers ("layer2", "blocks.5", "norm"), strides, or negative numbers: a stride selects the last
            layer of that stride, -1 the last block, -2 the one before.
        weights: A local .safetensors file; None for the pretrained weights of the hub, or, for texnet_s, of the
            package.
        pretrained: False gives random weights, always the same, for tests and ablations.

    Returns:
        The network that computes the maps of these layers.

    Raises:
        InputError: `weights` are given, but `pretrained` is False, or for an own module; or the network gives no maps.
        UnknownName: no such backbone or layer.
        WeightsError: the weights cannot be obtained, or belong to another network.
    """
    if weights is not None and not pretrained and not loading.get():
        raise InputError(
            f"weights is {weights!r}, but pretrained=False asks for random ones; give one or the other (pretrained=True)."
        )
    if backbone in (registered := installed("blemish.backbones")):
        backbone = registered[backbone].value
    if isinstance(backbone, nn.Module) or ":" in backbone:
        from blemish.features.own import own_features

        if weights is not None:
            raise InputError(f"weights is {weights!r}, but an own backbone brings its weights itself. Leave it out.")
        return own_features(backbone, layers)
    with seeded(0):  # random weights, where requested, are the same every time
        if backbone in EMBEDDED:
            from blemish.features.texnet import texnet_features

            return texnet_features(backbone, layers, weights, pretrained)
        from blemish.features.timm import timm_features

        return timm_features(backbone, layers, weights, pretrained)
