"""Features: a frozen network that turns an image into a list of feature maps and owns its normalisation."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextvars import ContextVar
from typing import Literal, Self

import torch
from torch import Tensor, nn

from blemish.core.errors import InputError, UnknownName
from blemish.core.saved import tensors_sha256

Precision = Literal["float32", "bfloat16"]
TOGETHER = 2 * 256 * 256  # pixels that a network on the CPU processes in one pass


class Features(nn.Module):
    """RGB in [0, 1], (B, 3, H, W), to one (B, C, H / stride, W / stride) map per layer, shallow layers first.

    Frozen: its parameters require no gradient, and it stays in eval mode whatever `train()` is called with.

    Args:
        net: Network that returns the maps of exactly `layers` for a normalised image.
        layers: Names of the layers.
        channels: Channels of each map.
        strides: Stride of each map, in pixels.
        mean: Mean of the three colours, subtracted from the image.
        std: Standard deviation of the three colours, by which it is divided then.

    Attributes:
        precision: "bfloat16" lets the network compute in half precision; the maps are float32 all the same, but differ
            by some thousandths.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        net: nn.Module,
        layers: Sequence[str],
        channels: Sequence[int],
        strides: Sequence[int],
        mean: Sequence[float],
        std: Sequence[float],
    ) -> None:
        super().__init__()
        self.net: nn.Module = net.requires_grad_(False)
        self.net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # as `compute` gives it images
        self.layers, self.channels, self.strides = tuple(layers), tuple(channels), tuple(strides)
        self.register_buffer("mean", torch.tensor(mean).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor(std).view(1, 3, 1, 1))
        self.precision: Precision = "float32"
        self.eval()

    def forward(self, image: Tensor) -> list[Tensor]:
        """Return the maps of the layers, from a cache where one is open, see `features.cache`.

        Args:
            image: (B, 3, H, W) RGB in [0, 1].

        Returns:
            One (B, C, H / stride, W / stride) map per layer, in the order of the layers.
        """
        cache = caching.get()
        return self.compute(image) if cache is None else cache(self, image)

    def compute(self, image: Tensor) -> list[Tensor]:
        """Return the maps of the layers as the network computes them now.

        A CPU is given a few images at a time in the channels-last format: the activations between two layers then stay
        in its cache, which makes MobileNetV2 twice as fast, and TexNet no faster (`benchmarks/forward.py`).

        Args:
            image: (B, 3, H, W) RGB in [0, 1].

        Returns:
            One (B, C, H / stride, W / stride) map per layer, in the order of the layers.
        """
        if image.device.type != "cpu" or torch.compiler.is_compiling():
            return self._pass(image)
        few = max(1, TOGETHER // (image.shape[2] * image.shape[3]))
        parts = [self._pass(some.contiguous(memory_format=torch.channels_last)) for some in torch.split(image, few)]
        return [torch.cat(maps) for maps in zip(*parts, strict=True)]

    def _pass(self, image: Tensor) -> list[Tensor]:
        with torch.autocast(image.device.type, torch.bfloat16, enabled=self.precision == "bfloat16"):
            maps: list[Tensor] = self.net((image - self.mean) / self.std)
        return [map.float() for map in maps] if self.precision == "bfloat16" else maps

    def train(self, mode: bool = True) -> Self:
        """Stay in eval mode: the statistics of a frozen network never change.

        Args:
            mode: Ignored.

        Returns:
            The network itself.
        """
        return super().train(False)

    @property
    def sha256(self) -> str:
        """The hash of the weights: names, shapes, types and values, in the order of the names."""
        return tensors_sha256(self.state_dict())


caching: ContextVar[Callable[[Features, Tensor], list[Tensor]] | None] = ContextVar("caching", default=None)
"""The cache that is open, if any; it must return what `Features.compute` returns."""


def choose_layers(
    wanted: Sequence[str | int], names: Sequence[str], strides: Sequence[int], backbone: str
) -> list[int]:
    """Find layers of a network by name or stride.

    Args:
        wanted: Names, or strides; a stride selects the last layer of that stride.
        names: Names of the network's layers, shallow layers first.
        strides: Their strides, in pixels.
        backbone: The network's name, for messages.

    Returns:
        The indices of the layers, in the network's order.

    Raises:
        UnknownName: no layer has such a name or stride.
        InputError: no layer is named, or one twice.
    """
    known = [f"{name} (stride {stride})" for name, stride in zip(names, strides, strict=True)]
    found: list[int] = []
    for layer in wanted:
        against: Sequence[str | int] = strides if isinstance(layer, int) else names
        indices = [i for i, value in enumerate(against) if value == layer]
        if not indices:
            hint = f"Layers of {backbone} with their strides: {', '.join(known)}."
            raise UnknownName("layer", str(layer), names, hint)
        found.append(indices[-1])
    if not found or len(set(found)) < len(found):
        raise InputError(f"layers {list(wanted)} of {backbone}: name at least one, and none twice. Known: {known}.")
    return sorted(found)
